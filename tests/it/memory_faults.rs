//! I2: a bit that flips in memory between any two stages of a backup is noticed before anything is published, and
//! nothing that it has spoilt is stored.

use crate::support::{self, Versions, small_packs, threads, try_backup, try_check};
use std::sync::Arc;
use vellum::format::ObjectKind;
use vellum::memory_faults::{STAGES, Stage, arm, disarm};
use vellum::storage::MemoryStorage;
use vellum::{Error, KeyFile, LocalState, Repository, RepositoryError};
use vellum_testkit::Random;
use vellum_testkit::trees::TreeOptions;

/// What a flipped bit led to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The run failed and said why.
    Refused,
    /// It fell on bytes that mean nothing, such as a pack's filler, before anything was computed of them.
    WithoutEffect,
    /// There is no such buffer.
    NotReached,
}

/// A repository with one backup, and a second version of its source.
struct World {
    versions: Versions,
    repository: Repository,
}

impl World {
    fn new(level: i32) -> Self {
        let key = KeyFile::generate().expect("randomness");
        // Several packs, lists of chunks, and folders in folders.
        let versions = Versions::prepare(3, 2, TreeOptions { file_count: 30, len_bytes_max: 200_000 });
        let mut options = small_packs();
        options.compression_level = level;
        let repository = support::create_with(Arc::new(MemoryStorage::new()), &key, &LocalState::None, &options);
        support::backup(&repository, versions.path(0));
        Self { versions, repository }
    }

    /// A second backup, during which one bit flips, and the next one after it.
    fn flip(&self, stage: Stage, skip: usize, bit: u64) -> Outcome {
        let case = format!("{stage:?} after {skip}, bit {bit}");
        let before = self.repository.snapshots().expect("memory").snapshots.len();
        arm(self.repository.id(), stage, skip, bit);
        let done = try_backup(&self.repository, self.versions.path(1), &threads(1));
        let is_done = disarm(self.repository.id());
        let outcome = match done {
            Err(Error::Repository(RepositoryError::WriteVerification { reason })) if is_done => {
                assert!(!reason.is_empty(), "{case}: it says what differs");
                Outcome::Refused
            }
            Err(error) => panic!("{case}: the error does not tell of memory: {error}"),
            Ok(_) if is_done => Outcome::WithoutEffect,
            Ok(_) => Outcome::NotReached,
        };
        let report = try_check(&self.repository, &threads(1)).expect("a check");
        assert_eq!(report.findings, [], "{case}: nothing damaged is stored");
        let snapshots = self.repository.snapshots().expect("memory").snapshots;
        assert_eq!(snapshots.len(), before + usize::from(outcome != Outcome::Refused), "{case}");
        let next = try_backup(&self.repository, self.versions.path(1), &threads(1)).expect("the next backup works");
        let next = support::snapshot(&self.repository, next);
        snapshots.iter().chain([&next]).for_each(|snapshot| self.versions.assert_holds(&self.repository, snapshot));
        outcome
    }
}

/// A flip of each stage, in its first, a middle and a late buffer.
#[test]
fn a_bit_that_flips_between_any_two_stages_is_refused() {
    let mut random = Random::new(5);
    for level in [3, 0] {
        for stage in STAGES {
            let mut reached = 0;
            for skip in [0, 1, 2, 5, 30] {
                let bit = random.below(1 << 40) as u64;
                match World::new(level).flip(stage, skip, bit) {
                    Outcome::Refused => reached += 1,
                    // The filler of a pack is arbitrary, until its parity and its name are computed.
                    Outcome::WithoutEffect if stage == Stage::Finished => reached += 1,
                    Outcome::WithoutEffect => panic!("{stage:?} after {skip}, bit {bit}: it was not noticed"),
                    Outcome::NotReached => assert!(skip > 0, "{stage:?} is never reached"),
                }
            }
            assert!(reached > 0, "{stage:?} at level {level}");
        }
    }
}

/// The references of long files and folders lie in list chunks of several levels.
#[test]
fn a_reference_that_flips_is_refused_wherever_it_is_stored() {
    for skip in [0, 3, 100, 700] {
        let key = KeyFile::generate().expect("randomness");
        let versions = Versions::of_files(&[&[("small", 10, 1)], &[("long", 4_000_000, 2), ("folder/small", 10, 3)]]);
        let storage = Arc::new(MemoryStorage::new());
        let repository = support::create(storage, &key, &LocalState::None);
        support::backup(&repository, versions.path(0));
        let world = World { versions, repository };
        assert_eq!(world.flip(Stage::Reference, skip, 77), Outcome::Refused, "reference {skip}");
    }
}

/// Whatever bit of a tombstone flips, it removes nothing.
#[test]
fn a_tombstone_in_which_a_bit_flips_is_refused() {
    let world = World::new(0);
    let repository = &world.repository;
    let listed = || {
        let snapshots = repository.snapshots().expect("memory").snapshots;
        snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>()
    };
    let before = listed();
    for stage in [Stage::SmallSealed, Stage::SmallNamed] {
        for bit in (0..4_000).step_by(7) {
            arm(repository.id(), stage, 0, bit);
            let done = support::remove(repository, before[0]);
            assert!(disarm(repository.id()), "{stage:?}, bit {bit}: a tombstone is sealed");
            assert!(matches!(done, Err(RepositoryError::WriteVerification { .. })), "{stage:?}, bit {bit}: {done:?}");
            assert!(repository.names(ObjectKind::TombstoneMirror).expect("memory").is_empty(), "{stage:?}, bit {bit}");
        }
    }
    assert_eq!(listed(), before);
    support::remove(repository, before[0]).expect("a removal without a fault");
    assert_eq!(listed(), []);
}
