//! Repositories that earlier versions made: each must open with every one of its secrets and hold exactly what its
//! manifest says. `fixtures/README.md` tells how they are made and that they are never changed.

mod describe;
mod encodings;

use crate::support::{backup, check, copy};
use describe::describe;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vellum::format::ObjectKind;
use vellum::storage::LocalStorage;
use vellum::{Credential, KeyFile, LocalState, Locked, RecoveryKey, Repository};

/// Every golden repository: a folder that is not listed here fails a test.
const CASES: &[&str] = &["v1/basic", "v1/deep-lists", "v1/gear", "v1/key-slots", "v1/metadata"];

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/formats")
}

fn sorted(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("list {}: {error}", folder.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("a listing").file_name();
    entries.map(|entry| name(entry).into_string().expect("a plain name")).collect()
}

/// Only a copy is opened: a test must not be able to change a fixture.
fn copy_of(case: &str, scratch: &Path) -> PathBuf {
    let repository = scratch.join("repository");
    copy(&formats().join(case).join("repository"), &repository);
    // git keeps no empty folders.
    for kind in ObjectKind::ALL {
        fs::create_dir_all(repository.join(kind.folder())).expect("a folder");
    }
    repository
}

fn unlock(repository: &Path, credential: &Credential<'_>) -> Repository {
    let storage = LocalStorage::open(repository).expect("a repository");
    let locked = Locked::open(Arc::new(storage)).expect("a config");
    locked.unlock(credential, &LocalState::None).unwrap_or_else(|error| panic!("{}: {error}", repository.display()))
}

/// Hands the repository to `use_it` once for each secret that lies beside it.
fn with_each_secret(case: &str, repository: &Path, use_it: &dyn Fn(&str, Repository)) {
    let secrets = formats().join(case);
    let read = |name: &str| fs::read_to_string(secrets.join(name)).ok();
    let key_file = read("key-file").expect("every case has a key file");
    let key_file = KeyFile::parse(key_file.as_bytes()).expect("a key file");
    use_it("key-file", unlock(repository, &Credential::KeyFile(&key_file)));
    if let Some(password) = read("password") {
        use_it("password", unlock(repository, &Credential::Password(password.trim_end().as_bytes())));
    }
    if let Some(recovery_key) = read("recovery-key") {
        let recovery_key = RecoveryKey::parse(&recovery_key).expect("a recovery key");
        use_it("recovery-key", unlock(repository, &Credential::RecoveryKey(&recovery_key)));
    }
}

fn assert_is_as_recorded(case: &str) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let expected = fs::read_to_string(formats().join(case).join("manifest.txt")).expect("a manifest");
    with_each_secret(case, &copy_of(case, scratch.path()), &|secret, repository| {
        let found = describe(&repository);
        let differing = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
        assert!(expected == found, "{case} opened with its {secret} differs from its manifest: {differing:#?}");
        assert_eq!(check(&repository).findings, [], "{case} opened with its {secret}");
    });
}

#[test]
fn every_fixture_is_listed() {
    let listed: BTreeSet<String> = CASES.iter().map(|case| (*case).to_owned()).collect();
    let versions = sorted(&formats()).into_iter().flat_map(|version| {
        let folder = formats().join(&version);
        let cases = sorted(&folder).into_iter().filter(move |case| folder.join(case).is_dir());
        cases.map(move |case| format!("{version}/{case}"))
    });
    assert_eq!(versions.collect::<BTreeSet<_>>(), listed, "CASES and fixtures/formats name different cases");
}

#[test]
fn basic_is_as_recorded() {
    assert_is_as_recorded("v1/basic");
}

#[test]
fn deep_lists_are_as_recorded() {
    assert_is_as_recorded("v1/deep-lists");
}

#[test]
fn gear_is_as_recorded() {
    assert_is_as_recorded("v1/gear");
}

#[test]
fn key_slots_are_as_recorded() {
    assert_is_as_recorded("v1/key-slots");
}

#[test]
fn metadata_is_as_recorded() {
    assert_is_as_recorded("v1/metadata");
}

#[test]
fn an_old_repository_takes_a_new_backup() {
    for case in CASES {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("source");
        fs::create_dir(&source).expect("a new folder");
        fs::write(source.join("file"), b"new").expect("a new file");
        with_each_secret(case, &copy_of(case, scratch.path()), &|secret, repository| {
            let before = repository.snapshots().expect("snapshots").snapshots.len();
            let problems = backup(&repository, &source).problems;
            assert!(problems.is_empty(), "{case} opened with its {secret}: {problems:?}");
            assert_eq!(repository.snapshots().expect("snapshots").snapshots.len(), before + 1);
            assert_eq!(check(&repository).findings, [], "{case} opened with its {secret}");
        });
    }
}

#[test]
fn nothing_frozen_has_changed() {
    let frozen = fs::read_to_string(formats().join("v1/encodings.txt")).expect("fixtures/formats/v1/encodings.txt");
    let found = encodings::text();
    let changed: Vec<&str> = found.lines().filter(|line| !frozen.lines().any(|frozen| frozen == *line)).collect();
    assert!(
        frozen == found,
        "The stored form has changed, and repositories of version 1 exist. Take the change back, or make it a new \
         format version that reads both, with fixtures of its own; see fixtures/README.md. Now encoded differently \
         or new:\n{}",
        changed.join("\n")
    );
}
