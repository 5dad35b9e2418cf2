//! Who may use whom: the tables of `docs/ARCHITECTURE.md` against the manifests of the crates.

use crate::docs::{read, root, tables};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

type Relation = BTreeMap<String, BTreeSet<String>>;

/// The normal and build dependencies of every crate below `crates`, by the crate's name.
fn manifests() -> Relation {
    let folders = fs::read_dir(root().join("crates")).expect("the crates are there");
    folders
        .map(|entry| entry.expect("a listing").file_name().into_string().expect("a plain name"))
        .map(|folder| (folder.clone(), dependencies(&read(&format!("crates/{folder}/Cargo.toml")))))
        .collect()
}

/// What a manifest depends on, whatever the platform, except in development.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut counts = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            assert!(!section.contains("dependencies."), "write dependencies on one line, not as [{section}]");
            counts = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        } else if counts && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().expect("a split has a first part");
            assert!(!line.contains("package ="), "a renamed dependency hides from this test: {line}");
            found.insert(name.trim_matches('"').to_owned());
        }
    }
    found
}

/// A table whose first column names one thing and whose second lists others, all in backticks.
fn table(header: &str) -> Relation {
    let architecture = read("docs/ARCHITECTURE.md");
    let table = tables(&architecture).remove(header).unwrap_or_else(|| panic!("there is a table {header}"));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows: Vec<_> = table.iter().map(|row| (row[0].trim_matches('`').to_owned(), names(&row[1]))).collect();
    let relation: Relation = rows.iter().cloned().collect();
    assert_eq!(relation.len(), rows.len(), "no name has two rows");
    relation
}

fn is_ours(name: &str) -> bool {
    name == "vellum" || name.starts_with("vellum-")
}

#[test]
fn crates_use_each_other_as_the_table_says() {
    let mut used = manifests();
    for dependencies in used.values_mut() {
        dependencies.retain(|name| is_ours(name));
    }
    assert_eq!(used, table("| crate | may use |"));
}

#[test]
fn external_crates_are_used_where_the_table_says() {
    let mut users = Relation::new();
    for (name, dependencies) in manifests() {
        for dependency in dependencies.into_iter().filter(|dependency| !is_ours(dependency)) {
            users.entry(dependency).or_default().insert(name.clone());
        }
    }
    assert_eq!(users, table("| external crate | used by |"));
}

#[test]
fn every_crate_is_a_member_and_forbids_unsafe_code() {
    let workspace = read("Cargo.toml");
    for name in manifests().into_keys() {
        assert!(workspace.contains(&format!("\"crates/{name}\"")), "{name} is no member of the workspace");
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
        let main = "lib.rs";
        let source = read(&format!("crates/{name}/src/{main}"));
        let may_be_unsafe = name == "vellum-chunker";
        assert_eq!(source.contains("#![forbid(unsafe_code)]"), !may_be_unsafe, "{name}");
    }
}

#[test]
fn manifests_are_read_as_they_are_written() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why\na.workspace = true\nb = { version = \"1\" }\n\
                    [dev-dependencies]\nc = \"1\"\n[target.'cfg(unix)'.dependencies]\n\"d\" = \"1\"\n[lints]\nworkspace = true\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<Vec<_>>(), ["a", "b", "d"]);
}
