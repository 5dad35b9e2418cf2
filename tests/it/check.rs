//! What checks read and remember: shares that cover everything in turn, over records that may be lost, old, damaged or
//! dated wrongly and cost nothing by that (I25).

use crate::support::{self, NOW, Versions, bytes_of, names, put_all, threads, try_backup};
use std::collections::BTreeSet;
use std::sync::Arc;
use vellum::format::catalog::CatalogedPack;
use vellum::format::content::ChunkKind;
use vellum::format::snapshot::Timestamp;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{LocalStorage, MemoryStorage, Storage};
use vellum::{
    CheckOptions, CheckReport, Coverage, KeyFile, LocalState, ReadData, RepairOptions, Repository, RestoreTest,
};
use vellum_testkit::{Fault, FaultKind, FaultMoment, FaultyStorage, Operation, RecordingStorage, SimDisk};

const DAY: i64 = 24 * 60 * 60;
const YEARS: i64 = 10 * 365 * DAY;

/// A repository of a dozen packs, seen by a new process with each check.
struct Scene {
    key: KeyFile,
    versions: Versions,
    storage: Arc<MemoryStorage>,
}

impl Scene {
    fn new() -> Self {
        let key = KeyFile::generate().expect("randomness");
        let files: Vec<(String, usize, u64)> = (0..9).map(|number| (format!("f{number}"), 900_000, number)).collect();
        let files: Vec<(&str, usize, u64)> = files.iter().map(|(name, len, seed)| (&**name, *len, *seed)).collect();
        let versions = Versions::of_files(&[&files, &files[..2]]);
        let storage = Arc::new(MemoryStorage::new());
        let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
        try_backup(&repository, versions.path(0), &threads(1)).expect("a backup");
        let scene = Self { key, versions, storage };
        assert!(scene.packs().len() >= 8, "some packs, not {}", scene.packs().len());
        scene
    }

    fn open(&self) -> Repository {
        support::open(Arc::<MemoryStorage>::clone(&self.storage), &self.key, &LocalState::None)
    }

    fn check(&self, seconds: i64, read_data: ReadData) -> CheckReport {
        check(&self.open(), seconds, read_data)
    }

    fn packs(&self) -> BTreeSet<ObjectId> {
        names(&*self.storage, ObjectKind::Pack).into_iter().map(|name| name.id).collect()
    }

    /// One that no check reads that was not asked to read data.
    fn data_pack(&self) -> ObjectId {
        let repository = self.open();
        let catalogs = repository.names(ObjectKind::Catalog).expect("memory").into_keys();
        let mut packs = catalogs.flat_map(|id| repository.catalog(id).expect("it is undamaged").packs);
        let is_data = |pack: &CatalogedPack| pack.directory.frames.iter().all(|frame| frame.kind == ChunkKind::Data);
        packs.find(is_data).expect("a pack of data").pack
    }

    fn records(&self) -> Vec<ObjectName> {
        names(&*self.storage, ObjectKind::Verification)
    }

    fn bytes(&self, name: &ObjectName) -> Vec<u8> {
        bytes_of(&*self.storage, name)
    }

    fn change(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) {
        support::change(&*self.storage, name, change);
    }

    /// What is known at a time, as somebody tells it who only looks.
    fn coverage(&self, seconds: i64) -> Coverage {
        self.check(seconds, ReadData::None).coverage
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds: NOW.seconds + seconds, nanoseconds: 0 }
}

fn check(repository: &Repository, seconds: i64, read_data: ReadData) -> CheckReport {
    let mut options = CheckOptions::default();
    (options.now, options.read_data) = (Some(at(seconds)), read_data);
    vellum::check(repository, &options, &threads(1)).expect("a check")
}

#[test]
fn folders_are_counted_once_and_losses_told_alike_on_any_number_of_threads() {
    // More in one folder than wait for a thread.
    let names: Vec<(String, u64)> =
        (0..700).map(|number| (format!("d{}/d{number}/file", number % 2), number)).collect();
    let files: Vec<(&str, usize, u64)> = names.iter().map(|(name, seed)| (&**name, 100, *seed)).collect();
    let (key, versions) = (KeyFile::generate().expect("randomness"), Versions::of_files(&[&files]));
    let storage = Arc::new(MemoryStorage::new());
    let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
    try_backup(&repository, versions.path(0), &threads(2)).expect("a backup");
    let check_on = |count| {
        let repository = support::open(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
        vellum::check(&repository, &CheckOptions::default(), &threads(count)).expect("a check")
    };
    let whole: Vec<CheckReport> = [1, 2, 7].map(check_on).into();
    assert!(whole.iter().all(|report| report.finding_count == 0 && report.snapshots == 1));
    assert!(whole[0].folders > 700 && whole.iter().all(|report| report.folders == whole[0].folders));
    let largest = names_with_len(&*storage).max_by_key(|(_, len)| *len).expect("a pack").0;
    storage.delete(&largest).expect("memory");
    let damaged: Vec<CheckReport> = [1, 2, 7].map(check_on).into();
    assert!(damaged[0].findings.len() > 1);
    assert!(damaged.iter().all(|report| report.findings == damaged[0].findings));
}

/// The packs of a storage, each with its length.
fn names_with_len(storage: &dyn Storage) -> impl Iterator<Item = (ObjectName, u64)> {
    names(storage, ObjectKind::Pack).into_iter().map(|name| (name, storage.len(&name).expect("memory")))
}

#[test]
fn shares_cover_everything_in_turn_and_one_record_stays() {
    let scene = Scene::new();
    let count = scene.packs().len() as u64;
    let before = scene.coverage(0);
    assert_eq!((before.packs, before.never_read, before.fully_verified), (count, count, None));
    let mut read = 0;
    for run in 0..10 {
        let report = scene.check(run * DAY, ReadData::Percent(10.0));
        assert_eq!((report.findings, report.not_recorded), (Vec::new(), None));
        assert!(report.is_recorded && report.packs_read >= 1);
        read += report.packs_read;
        assert_eq!(
            report.coverage.never_read,
            count.saturating_sub(read),
            "nothing is read twice before everything was"
        );
        assert_eq!(scene.records().len(), 1, "each run replaces the record before");
    }
    let first = scene.coverage(10 * DAY);
    assert_eq!((first.never_read, first.damaged), (0, 0));
    assert!(first.fully_verified.is_some_and(|time| (at(0)..at(10 * DAY)).contains(&time)), "{first:?}");
    // From now on the oldest come first: another round pushes the date on.
    for run in 10..20 {
        scene.check(run * DAY, ReadData::Percent(10.0));
    }
    assert!(scene.coverage(20 * DAY).fully_verified >= Some(at(10 * DAY)), "{:?}", scene.coverage(20 * DAY));
    let all = scene.check(30 * DAY, ReadData::All);
    assert_eq!(all.coverage.fully_verified, Some(at(30 * DAY)));
    let len = scene.bytes(&scene.records()[0]).len() as u64;
    assert!(len <= 4096.max(200 + 40 * count), "{len} bytes for {count} packs");
}

#[test]
fn a_plain_check_writes_nothing_and_tells_what_is_known() {
    let scene = Scene::new();
    scene.check(0, ReadData::All);
    let storage = Arc::new(RecordingStorage::new((*scene.storage).clone()));
    let repository = support::open(Arc::<RecordingStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
    let report = check(&repository, DAY, ReadData::None);
    assert_eq!(report.coverage.fully_verified, Some(at(0)));
    assert!(!report.is_recorded && report.not_recorded.is_none());
    let changes = [Operation::Put, Operation::Replace, Operation::Delete].map(|change| storage.count(change));
    assert_eq!(changes, [0, 0, 0]);
    assert_eq!(vellum::coverage(&repository, at(DAY)).expect("a storage"), report.coverage);
}

/// P14. Whoever has a wrong clock neither keeps packs from being read nor takes from others what they know.
#[test]
fn times_after_now_count_as_never_and_wrong_clocks_harm_nobody_else() {
    let scene = Scene::new();
    let count = scene.packs().len() as u64;
    scene.check(YEARS, ReadData::All);
    assert_eq!(scene.coverage(0).never_read, count, "a time that is still to come says nothing");
    let half = scene.check(0, ReadData::Percent(50.0));
    assert!(half.packs_read > 0 && half.coverage.never_read == count - half.packs_read, "{:?}", half.coverage);
    // A machine that lives long ago knows nothing of the others, and leaves them what they know.
    let behind = scene.check(-YEARS, ReadData::Bytes(1));
    assert_eq!(behind.coverage.never_read, count - 1);
    let unread = half.coverage.never_read;
    assert!([unread, unread - 1].contains(&scene.coverage(1).never_read), "kept, with what the other has read");
    for run in 0..40 {
        scene.check(-YEARS - run * DAY, ReadData::Percent(1.0));
        assert!(scene.records().len() <= 18, "clocks that run backwards do not fill the storage");
    }
    scene.check(2 * YEARS, ReadData::Percent(1.0));
    assert_eq!(scene.records().len(), 1, "who is later than all replaces all");
}

#[test]
fn lost_and_old_records_only_lead_to_more_reading() {
    let scene = Scene::new();
    let count = scene.packs().len() as u64;
    scene.check(0, ReadData::Percent(30.0));
    let old = scene.records()[0];
    let old_bytes = scene.bytes(&old);
    let known = scene.coverage(DAY);
    scene.check(DAY, ReadData::All);
    let newest = scene.records()[0];
    scene.storage.delete(&newest).expect("memory");
    assert_eq!(scene.coverage(2 * DAY).never_read, count, "lost: nothing is known");
    scene.storage.put(&old, &old_bytes).expect("memory");
    assert_eq!(scene.coverage(2 * DAY), known, "rolled back: what was known then");
    let report = scene.check(3 * DAY, ReadData::Percent(1.0));
    assert_eq!(report.coverage.never_read, known.never_read - report.packs_read, "what is not known is read first");
    assert_eq!(report.findings, []);
}

#[test]
fn a_damaged_or_foreign_record_is_named_costs_nothing_and_is_replaced() {
    let flip: fn(&mut Vec<u8>) = |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let cut: fn(&mut Vec<u8>) = |bytes| bytes.truncate(40);
    let empty: fn(&mut Vec<u8>) = Vec::clear;
    for harm in [flip, cut, empty] {
        let scene = Scene::new();
        scene.check(0, ReadData::All);
        let record = scene.records()[0];
        scene.change(&record, harm);
        let plain = scene.check(DAY, ReadData::None);
        assert_eq!(plain.findings.iter().map(|one| one.object).collect::<Vec<_>>(), [Some(record)]);
        assert_eq!(plain.coverage.never_read, plain.packs, "nothing of it is believed");
        assert_eq!(scene.check(2 * DAY, ReadData::Bytes(1)).finding_count, 1, "told once more");
        assert_eq!(scene.check(3 * DAY, ReadData::None).findings, [], "and replaced");
        try_backup(&scene.open(), scene.versions.path(1), &threads(1)).expect("a backup meanwhile");
    }
    // Whoever cannot unlock this repository cannot say what was verified.
    let (scene, other) = (Scene::new(), Scene::new());
    other.check(0, ReadData::All);
    let forged = other.records()[0];
    scene.storage.put(&forged, &other.bytes(&forged)).expect("memory");
    let report = scene.check(DAY, ReadData::None);
    assert_eq!(report.findings.iter().map(|one| one.object).collect::<Vec<_>>(), [Some(forged)]);
    assert_eq!(report.coverage.never_read, report.packs);
}

#[test]
fn a_storage_that_takes_or_gives_up_nothing_can_be_checked() {
    for operation in [Operation::Put, Operation::Sync, Operation::Delete] {
        let scene = Scene::new();
        scene.check(0, ReadData::Bytes(1));
        let faulty = FaultyStorage::new((*scene.storage).clone());
        let (moment, kind) = (FaultMoment::Before, FaultKind::PermissionDenied);
        faulty.plan(Fault { operation: Some(operation), first: 1, count: u64::MAX, moment, kind });
        let storage = Arc::new(faulty);
        let repository = support::open(Arc::<FaultyStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
        let report = check(&repository, DAY, ReadData::All);
        assert_eq!(report.findings, [], "{operation:?}: no damage");
        assert!(!report.is_recorded && report.not_recorded.is_some(), "{operation:?}: it is told");
        assert_eq!(report.coverage.fully_verified, Some(at(DAY)), "{operation:?}: what was read was read");
        // Whatever is left of it, nobody believes more than is true.
        let left = check(&repository, 2 * DAY, ReadData::None);
        assert!(left.findings.is_empty() && left.coverage.damaged == 0, "{operation:?}: {left:?}");
        assert!(left.coverage.fully_verified.is_none_or(|time| time <= at(DAY)), "{operation:?}");
    }
}

#[test]
fn damaged_packs_are_not_verified_and_do_not_keep_others_from_being_read() {
    let scene = Scene::new();
    let packs: Vec<ObjectId> = scene.packs().into_iter().collect();
    let damaged = &packs[..3];
    for pack in damaged {
        scene.change(&ObjectName::new(ObjectKind::Pack, *pack), |bytes| bytes[5000] ^= 1);
    }
    let all = scene.check(0, ReadData::All);
    assert!(all.finding_count >= 3);
    assert_eq!((all.coverage.damaged, all.coverage.never_read, all.coverage.fully_verified), (3, 0, None));
    // As many packs as are damaged a run: those that were read longest ago, damaged or not, each in its turn.
    let total: u64 =
        packs.iter().map(|pack| scene.storage.len(&ObjectName::new(ObjectKind::Pack, *pack)).unwrap()).sum();
    for run in 1..=4 {
        scene.check(run * DAY, ReadData::Bytes(total.div_ceil(4) + 1));
    }
    let report = scene.check(5 * DAY, ReadData::None);
    assert_eq!((report.coverage.damaged, report.coverage.fully_verified), (3, None));
    vellum::repair_packs(&scene.open(), &repair_at(5 * DAY), &threads(1)).expect("a repair");
    let healed = scene.check(6 * DAY, ReadData::All);
    assert_eq!((healed.findings, healed.coverage.fully_verified), (Vec::new(), Some(at(6 * DAY))));
}

fn repair_at(seconds: i64) -> RepairOptions {
    RepairOptions::new(at(seconds))
}

/// What is known to be damaged is told by every check, as long as it is there and no longer: each looks itself.
#[test]
fn damage_that_was_found_is_found_again_until_it_is_mended() {
    for mends in [true, false] {
        let scene = Scene::new();
        let pack = ObjectName::new(ObjectKind::Pack, scene.data_pack());
        let whole = scene.bytes(&pack);
        scene.change(&pack, |bytes| bytes[5000] ^= 1);
        assert_eq!(scene.check(0, ReadData::None).finding_count, 0, "nobody has read it");
        let found = scene.check(1, ReadData::All).findings;
        assert_eq!(found.iter().filter_map(|finding| finding.object).collect::<Vec<_>>(), [pack]);
        let record = scene.records();
        for (run, read_data) in (2..).zip([ReadData::None, ReadData::Bytes(1), ReadData::Part(1, 1)]) {
            let again = scene.check(run, read_data);
            assert_eq!((again.findings, again.packs_healable), (found.clone(), 1), "{read_data:?}");
            assert!(again.is_recorded == (read_data != ReadData::None), "what is known is not written again");
            assert!(read_data == ReadData::None || again.packs_read > 0, "others are read as well");
        }
        assert_ne!(scene.records(), record);
        match mends {
            true => drop(vellum::repair_packs(&scene.open(), &repair_at(DAY), &threads(1)).expect("a repair")),
            false => scene.storage.replace_damaged(&pack, &whole).expect("memory"),
        }
        let known = vellum::coverage(&refreshed(&scene), at(DAY)).expect("a storage");
        assert_eq!(known.damaged, u64::from(!mends), "a repair tells what it has mended");
        let plain = scene.check(DAY, ReadData::None);
        assert_eq!((plain.findings, plain.coverage.damaged), (Vec::new(), 0));
        assert_eq!((plain.packs_read, plain.is_recorded), (u64::from(!mends), !mends), "read once more, if need be");
    }
}

/// Opened, and brought up to date.
fn refreshed(scene: &Scene) -> Repository {
    let repository = scene.open();
    repository.refresh().expect("memory");
    repository
}

#[test]
fn packs_that_went_drop_out() {
    let scene = Scene::new();
    scene.check(0, ReadData::All);
    let before = scene.packs();
    let repository = scene.open();
    let snapshot = repository.snapshots().expect("a storage").snapshots[0].id;
    try_backup(&repository, scene.versions.path(1), &threads(1)).expect("a backup");
    support::remove(&repository, snapshot).expect("a removal");
    for _ in 0..3 {
        vellum::prune(&scene.open(), &support::prune_at_once(), &threads(1)).expect("a prune");
    }
    let after = scene.packs();
    assert!(after.len() < before.len(), "something was pruned");
    let report = scene.check(DAY, ReadData::All);
    assert_eq!((report.findings, report.coverage.packs), (Vec::new(), after.len() as u64));
    assert_eq!((report.coverage.never_read, report.coverage.fully_verified), (0, Some(at(DAY))));
}

#[test]
fn two_checks_at_once_keep_what_both_saw() {
    let scene = Scene::new();
    let count = scene.packs().len() as u64;
    scene.check(0, ReadData::Bytes(1));
    let base = scene.records();
    let read_base = scene.bytes(&base[0]);
    scene.check(DAY, ReadData::Percent(40.0));
    let first = scene.coverage(2 * DAY);
    // The second had read the record before the first replaced it, and puts its own beside.
    let mine = scene.records()[0];
    let mine_bytes = scene.bytes(&mine);
    scene.storage.delete(&mine).expect("memory");
    scene.storage.put(&base[0], &read_base).expect("memory");
    scene.check(DAY + 1, ReadData::Percent(40.0));
    let second = scene.coverage(2 * DAY);
    scene.storage.put(&mine, &mine_bytes).expect("memory");
    let both = scene.coverage(2 * DAY);
    assert!(both.never_read <= first.never_read.min(second.never_read) && scene.records().len() == 2);
    scene.check(3 * DAY, ReadData::Bytes(1));
    assert_eq!(scene.records().len(), 1);
    assert!(scene.coverage(4 * DAY).never_read <= both.never_read && count > 0);
}

fn drill(scene: &Scene, repository: &Repository, files: usize) -> (CheckReport, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let mut options = CheckOptions::default();
    options.now = Some(at(0));
    options.restore_test = Some(RestoreTest { files, scratch: scratch.path().to_owned(), host: None });
    let report = vellum::check(repository, &options, &threads(2)).expect("a check");
    assert_eq!(std::fs::read_dir(scratch.path()).expect("a scratch folder").count(), 0, "nothing stays behind");
    assert!(scene.records().len() <= 1);
    (report, scratch)
}

#[test]
fn files_are_restored_and_compared_by_a_restore_test() {
    let scene = Scene::new();
    let (report, _) = drill(&scene, &scene.open(), 4);
    assert_eq!(report.findings, []);
    assert_eq!((report.restore_test.files, report.restore_test.bytes), (4, 4 * 900_000));
    assert_eq!(scene.coverage(DAY).restore_tested, Some(at(0)), "it is remembered");
    assert_eq!(scene.coverage(DAY).never_read, scene.coverage(DAY).packs, "but verifies no pack");
    let (all, _) = drill(&scene, &scene.open(), 1000);
    assert_eq!(all.restore_test.files, 9, "each file once");
}

#[test]
fn a_restore_test_names_the_pack_and_the_file_that_cannot_be_restored() {
    let scene = Scene::new();
    for pack in scene.packs() {
        let name = ObjectName::new(ObjectKind::Pack, pack);
        // More than parity makes good; the small packs of trees stay.
        if scene.bytes(&name).len() > 500_000 {
            scene.change(&name, |bytes| (0..bytes.len()).step_by(16_384).for_each(|at| bytes[at] ^= 1));
        }
    }
    let (report, _) = drill(&scene, &scene.open(), 3);
    let costs = report.findings.iter().filter(|finding| finding.path.is_some());
    assert!(costs.clone().count() >= 3, "{:?}", report.findings);
    assert_eq!(report.restore_test.not_written, Vec::<String>::new(), "the scratch folder is not to blame");
}

#[test]
fn a_scratch_folder_that_takes_nothing_is_told_and_is_no_damage() {
    let scene = Scene::new();
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let mut options = CheckOptions::default();
    let no_folder = scratch.path().join("file");
    std::fs::write(&no_folder, b"").expect("a file");
    options.restore_test = Some(RestoreTest { files: 3, scratch: no_folder, host: None });
    let report = vellum::check(&scene.open(), &options, &threads(1)).expect("a check");
    assert_eq!(report.findings, []);
    assert_eq!((report.restore_test.files, report.restore_test.not_written.len()), (0, 3));
}

/// I25: what earlier checks recorded goes only after a record that says the same is durable.
#[test]
fn a_power_cut_while_a_check_records_loses_nothing_that_was_known() {
    let scene = Scene::new();
    scene.check(0, ReadData::Percent(40.0));
    let known = scene.coverage(2 * DAY).never_read;
    let base = SimDisk::new();
    let storage = LocalStorage::create_on(base.clone()).expect("an empty disk");
    put_all(&*scene.storage, &storage);
    storage.sync().expect("a good disk");
    let open = |disk: &SimDisk| {
        let storage = LocalStorage::open_on(disk.clone()).expect("a repository");
        support::open(Arc::new(storage), &scene.key, &LocalState::None)
    };
    let mut seen = BTreeSet::new();
    for nth_change in 1.. {
        let disk = base.snapshot();
        let repository = open(&disk);
        disk.crash_at(nth_change);
        let done = check(&repository, DAY, ReadData::Percent(30.0));
        for seed in 0..4 {
            let case = format!("power cut at change {nth_change}, state {seed}");
            let repository = open(&disk.crash(seed));
            let after = check(&repository, 2 * DAY, ReadData::None);
            assert_eq!(after.findings, [], "{case}");
            assert!(after.coverage.never_read <= known, "{case}: {:?}", after.coverage);
            seen.insert(after.coverage.never_read);
            check(&repository, 3 * DAY, ReadData::Bytes(1));
            assert_eq!(names(&**repository.storage(), ObjectKind::Verification).len(), 1, "{case}: one stays");
        }
        if !disk.is_crashed() {
            assert!(done.is_recorded);
            break;
        }
    }
    assert!(seen.contains(&known) && seen.len() > 1, "before and after the new record: {seen:?}");
}
