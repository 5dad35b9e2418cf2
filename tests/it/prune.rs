//! Pruning: what no snapshot needs goes, what any needs stays, whoever writes meanwhile.

use crate::support::{NOW, Versions, assert_holds, backup, check, create, open, snapshot};
use std::sync::Arc;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Storage};
use vellum::{Context, KeyFile, LocalState, MaxUnused, PruneOptions, PruneReport, Repository};

/// A repository in memory with one backup of each version.
struct World {
    storage: Arc<MemoryStorage>,
    key: KeyFile,
    versions: Versions,
    repository: Repository,
    ids: Vec<ObjectId>,
}

impl World {
    /// Each version shares one file with its neighbours and has one of its own.
    fn new(seed: u64, count: usize) -> Self {
        let own = |number: usize| [("own", 700_000, seed + number as u64), ("kept", 500_000, seed + 99)];
        let files: Vec<[(&str, usize, u64); 2]> = (0..count).map(own).collect();
        let versions = Versions::of_files(&files.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>());
        let storage = Arc::new(MemoryStorage::new());
        let key = KeyFile::generate().expect("randomness");
        let repository = create(storage.clone(), &key, &LocalState::None);
        let ids = (0..count).map(|number| backup(&repository, versions.path(number)).snapshot.unwrap()).collect();
        Self { storage, key, versions, repository, ids }
    }

    fn forget(&self, number: usize) {
        self.storage.delete(&ObjectName::new(ObjectKind::Snapshot, self.ids[number])).unwrap();
    }

    fn assert_holds(&self, number: usize) {
        // A process that knows nothing of what this one has cached.
        let fresh = open(self.storage.clone(), &self.key, &LocalState::None);
        self.versions.assert_holds(&fresh, &snapshot(&fresh, self.ids[number]));
    }

    fn pack_bytes(&self) -> u64 {
        self.repository.names(ObjectKind::Pack).unwrap().values().sum()
    }
}

fn at_once() -> PruneOptions {
    let mut options = PruneOptions::new(NOW);
    options.grace_seconds = 0;
    options
}

fn prune(repository: &Repository, options: &PruneOptions) -> PruneReport {
    vellum::prune(repository, options, &Context::default()).expect("a prune")
}

#[test]
fn a_prune_without_anything_unused_changes_nothing() {
    let world = World::new(300, 2);
    let before = world.storage.as_ref().clone();
    let report = prune(&world.repository, &at_once());
    assert_eq!((report.packs_condemned, report.packs_deleted, report.bytes_written), (0, 0, 0), "{report:?}");
    for kind in ObjectKind::ALL {
        let names = |storage: &MemoryStorage| {
            let mut names = Vec::new();
            storage.list(kind, &mut |object| names.push(object)).unwrap();
            names
        };
        assert_eq!(names(&before), names(&world.storage), "{kind:?}");
    }
    world.assert_holds(0);
    world.assert_holds(1);
}

#[test]
fn what_only_a_forgotten_snapshot_needed_goes_and_the_rest_stays() {
    let world = World::new(301, 3);
    let before = world.pack_bytes();
    world.forget(0);
    world.forget(2);
    let mut options = at_once();
    options.max_unused = MaxUnused::Percent(0.0);
    let report = prune(&world.repository, &options);
    assert!(report.packs_repacked > 0 && report.packs_deleted >= report.packs_repacked, "{report:?}");
    assert_eq!(report.packs_condemned, report.packs_deleted);
    let after = world.pack_bytes();
    assert!(after + 1_300_000 < before, "{after} bytes are left of {before}, of which 1,400,000 were forgotten");
    world.assert_holds(1);
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    assert_eq!(check(&fresh).findings, [], "a pruned repository is whole");
    let again = prune(&fresh, &options);
    assert_eq!((again.packs_condemned, again.packs_deleted), (0, 0), "{again:?}");
    let next = backup(&fresh, world.versions.path(2));
    assert_holds(&fresh, next.snapshot.unwrap(), world.versions.path(2), world.versions.manifest(2));
}
