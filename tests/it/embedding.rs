//! The example programs do what they say.

use vellum_testkit::trees::{self, TreeOptions, assert_same_tree};

#[expect(dead_code, reason = "its main only reads arguments and calls run")]
#[path = "../../crates/vellum/examples/backup_and_restore.rs"]
mod backup_and_restore;
#[path = "../../crates/vellum/examples/chunk_store.rs"]
mod chunk_store;

#[test]
fn the_example_backs_up_and_restores() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, repository, target] = ["source", "repository", "target"].map(|name| scratch.path().join(name));
    trees::build(&source, 6, TreeOptions { file_count: 30, len_bytes_max: 300_000 });
    backup_and_restore::run(&source, &repository, &target).expect("the example runs");
    assert_same_tree(&source, &target);
}

#[test]
fn the_example_stores_chunks() {
    chunk_store::main().expect("the example runs");
}
