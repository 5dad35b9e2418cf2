//! Invariants of docs/INVARIANTS.md that no larger suite would notice if they broke.

use crate::support::{NOW, PutsNoPacks, Versions, backup, create};
use std::sync::Arc;
use vellum::format::content::ChunkKind;
use vellum::format::{ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Put, Storage as _};
use vellum::{
    BackupOptions, Context, Credential, Error, KeyFile, LocalState, NewSlot, RepositoryError, SessionOptions,
};
use vellum_testkit::trees::{self, TreeOptions};
use vellum_testkit::{Operation, RecordingStorage};

// I3
#[test]
fn a_pack_whose_name_is_taken_is_never_counted_on() {
    let source = tempfile::tempdir().expect("a scratch folder");
    trees::build(source.path(), 1, TreeOptions { file_count: 10, len_bytes_max: 20_000 });
    let key = KeyFile::generate().expect("randomness");
    let knows_every_pack = PutsNoPacks { inner: MemoryStorage::new().into(), answer: || Ok(Put::AlreadyThere) };
    let repository = create(Arc::new(knows_every_pack), &key, &LocalState::None);
    let options = BackupOptions::new([source.path().to_owned()]);
    let failed = vellum::backup(&repository, &options, &Context::default()).expect_err("no pack is its own");
    assert!(
        matches!(failed, Error::Repository(RepositoryError::Damaged { object, .. }) if object.kind == ObjectKind::Pack)
    );
    assert_eq!(repository.names(ObjectKind::Snapshot).expect("memory").len(), 0);
}

// I3
#[test]
fn equal_data_makes_packs_of_different_names() {
    let source = tempfile::tempdir().expect("a scratch folder");
    trees::build(source.path(), 1, TreeOptions { file_count: 10, len_bytes_max: 20_000 });
    let key = KeyFile::generate().expect("randomness");
    let storage = Arc::new(MemoryStorage::new());
    let repository = create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
    backup(&repository, source.path());
    let first = repository.names(ObjectKind::Pack).expect("memory");
    for pack in first.keys() {
        storage.delete(&ObjectName::new(ObjectKind::Pack, *pack)).expect("memory");
    }
    backup(&repository, source.path());
    let second = repository.names(ObjectKind::Pack).expect("memory");
    assert!(!second.is_empty() && second.keys().all(|pack| !first.contains_key(pack)));
}

// I9
#[test]
fn chunks_that_reached_no_pack_keep_their_session_from_publishing() {
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    let session = repository.begin(&SessionOptions::default()).expect("a session");
    let mut writer = session.frame_writer().expect("a writer");
    assert!(writer.put(ChunkKind::Data, b"a chunk").expect("a put").is_new);
    drop(writer);
    assert!(matches!(session.seal().err(), Some(RepositoryError::SessionPoisoned)));
    let session = repository.begin(&SessionOptions::default()).expect("a session");
    let mut writer = session.frame_writer().expect("a writer");
    assert!(writer.put(ChunkKind::Data, b"a chunk").expect("a put").is_new, "nobody took the lost chunk for stored");
    writer.flush().expect("a flush");
    drop(writer);
    assert_eq!(session.seal().expect("a sealed session").stored().chunks_new, 1);
}

// I11
#[test]
fn keys_are_durable_before_older_ones_go() {
    let (key, other) = (KeyFile::generate().expect("randomness"), KeyFile::generate().expect("randomness"));
    let storage = Arc::new(RecordingStorage::new(MemoryStorage::new()));
    let mut repository = create(Arc::<RecordingStorage<_>>::clone(&storage), &key, &LocalState::None);
    storage.clear();
    let slot = NewSlot { credential: Credential::KeyFile(&other), label: "other", argon2id: None, now: NOW };
    repository.add_slot(&slot).expect("a new slot");
    let calls = storage.calls();
    let last_of = |operation| calls.iter().rposition(|call| call.operation == operation).expect("it was called");
    let first_delete = calls.iter().position(|call| call.operation == Operation::Delete).expect("older keys go");
    assert!(last_of(Operation::Put) < last_of(Operation::Sync) && last_of(Operation::Sync) < first_delete);
    assert_eq!(storage.count(Operation::Put), 2, "a manifest and its copy");
}

#[test]
fn what_a_backup_says_it_stored_is_what_lies_there() {
    let versions = Versions::of_files(&[&[("a", 300_000, 1)], &[("a", 300_000, 1), ("b", 200_000, 2)]]);
    let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
    let repository = create(storage, &key, &LocalState::None);
    let bytes = || -> u64 {
        let kinds = [ObjectKind::Pack, ObjectKind::Catalog, ObjectKind::CatalogMirror];
        kinds.iter().map(|kind| repository.names(*kind).expect("memory").values().sum::<u64>()).sum()
    };
    let mut before = bytes();
    for number in 0..2 {
        let summary = backup(&repository, versions.path(number)).summary;
        assert_eq!(summary.bytes_stored, bytes() - before, "backup {number}");
        before = bytes();
    }
}
