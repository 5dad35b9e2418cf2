//! The real local storage on a disk that loses power, fills up and fails.

use rustix::io::Errno;
use std::collections::BTreeSet;
use std::time::Duration;
use vellum_format::{ObjectKind, ObjectName};
use vellum_storage::{Disk, LocalStorage, Put, Storage, StorageError};
use vellum_testkit::{DiskFault, DiskFaultEffect, DiskOperation, Oracle, Random, SimDisk};

type Objects = Oracle<ObjectName, Vec<u8>>;

fn created() -> SimDisk {
    let disk = SimDisk::new();
    LocalStorage::create_on(disk.clone()).expect("an empty disk takes a repository");
    disk
}

fn object(kind: ObjectKind, len_bytes: usize) -> (ObjectName, Vec<u8>) {
    let bytes = Random::new(len_bytes as u64).bytes(len_bytes);
    (ObjectName::of(kind, &bytes), bytes)
}

/// put, put, sync, put; stops at the first error, as a program does.
fn workload(disk: &SimDisk, acknowledged: &mut Objects) -> Result<(), StorageError> {
    let [first, second, third] = [(ObjectKind::Pack, 9_000), (ObjectKind::Catalog, 700), (ObjectKind::Snapshot, 300)]
        .map(|(kind, len_bytes)| object(kind, len_bytes));
    let storage = LocalStorage::open_on(disk.clone())?;
    storage.put(&first.0, &first.1)?;
    storage.put(&second.0, &second.1)?;
    storage.sync()?;
    acknowledged.acknowledge(first.0, first.1);
    acknowledged.acknowledge(second.0, second.1);
    storage.put(&third.0, &third.1)?;
    Ok(())
}

/// After a crash: everything acknowledged is there, every name has its whole content, and work can go on.
fn expect_sound(disk: &SimDisk, acknowledged: &Objects) {
    let storage = LocalStorage::open_on(disk.clone()).expect("a crash leaves a repository that opens");
    acknowledged.expect_each(|(name, bytes)| {
        assert!(storage.get(name, u64::MAX).expect("what was synced is there") == *bytes, "{name} is whole");
    });
    for kind in ObjectKind::ALL {
        let mut listed = Vec::new();
        storage.list(kind, &mut |object| listed.push(object)).expect("every kind has its folder");
        for object in listed {
            let bytes = storage.get(&object.name, u64::MAX).expect("what is listed is there");
            assert_eq!(ObjectName::of(kind, &bytes), object.name, "no torn object has a final name");
        }
    }
}

fn change_count_of(run: impl FnOnce(&SimDisk)) -> u64 {
    let disk = created();
    let before = disk.change_count();
    run(&disk);
    disk.change_count() - before
}

#[test]
fn keeps_the_contract() {
    vellum_storage::conformance::run(&|| Box::new(LocalStorage::create_on(SimDisk::new()).unwrap()));
}

#[test]
fn every_crash_point_of_a_small_workload_is_sound() {
    let change_count = change_count_of(|disk| workload(disk, &mut Objects::new()).unwrap());
    let mut state_count = 0;
    for nth in 1..=change_count + 1 {
        let disk = created();
        disk.crash_at(nth);
        let mut acknowledged = Objects::new();
        assert_eq!(workload(&disk, &mut acknowledged).is_ok(), nth > change_count);
        let sampled = (0..50).map(|seed| disk.crash(seed));
        for state in sampled.chain(disk.crash_states()) {
            expect_sound(&state, &acknowledged);
            state_count += 1;
        }
    }
    println!("{state_count} crash states over {change_count} changes");
}

#[test]
fn work_goes_on_after_a_crash() {
    let change_count = change_count_of(|disk| workload(disk, &mut Objects::new()).unwrap());
    for nth in 1..=change_count {
        let disk = created();
        disk.crash_at(nth);
        let mut acknowledged = Objects::new();
        workload(&disk, &mut acknowledged).unwrap_err();
        for seed in 0..20 {
            let (state, mut acknowledged) = (disk.crash(seed), acknowledged.clone());
            workload(&state, &mut acknowledged).expect("the same work succeeds afterwards");
            expect_sound(&state.crash(seed), &acknowledged);
        }
    }
}

#[test]
fn a_name_that_another_process_put_is_durable_after_an_own_sync() {
    let (name, bytes) = object(ObjectKind::Pack, 5_000);
    let disk = created();
    let (other, own) = (LocalStorage::open_on(disk.clone()).unwrap(), LocalStorage::open_on(disk.clone()).unwrap());
    assert_eq!(other.put(&name, &bytes).unwrap(), Put::Stored);
    assert_eq!(own.put(&name, &bytes).unwrap(), Put::AlreadyThere);
    own.sync().unwrap();
    let mut acknowledged = Objects::new();
    acknowledged.acknowledge(name, bytes);
    disk.crash_states().for_each(|state| expect_sound(&state, &acknowledged));
}

#[test]
fn a_sync_waits_for_another_that_took_its_folders() {
    let (name, bytes) = object(ObjectKind::Pack, 5_000);
    let disk = created();
    let storage = LocalStorage::open_on(disk.clone()).unwrap();
    storage.put(&name, &bytes).unwrap();
    let effect = DiskFaultEffect::Delay(Duration::from_millis(200));
    disk.plan(DiskFault { operation: Some(DiskOperation::SyncFolder), first: 1, count: u64::MAX, effect });
    let is_syncing = || disk.trace().last().is_some_and(|line| line.starts_with("SyncFolder packs"));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| storage.sync().unwrap());
        while !is_syncing() && !other.is_finished() {
            std::thread::yield_now();
        }
        storage.sync().unwrap();
        let mut acknowledged = Objects::new();
        acknowledged.acknowledge(name, bytes);
        disk.crash_states().for_each(|state| expect_sound(&state, &acknowledged));
        other.join().unwrap();
    });
}

/// L2 and I18: at no moment is the name gone, or its content neither the old nor what it stands for.
#[test]
fn a_power_cut_at_any_change_of_a_replacement_leaves_the_damaged_object_or_the_healed_one() {
    let (name, bytes) = object(ObjectKind::Pack, 9_000);
    let mut damaged = bytes.clone();
    damaged.truncate(7_000);
    damaged[100] ^= 1;
    let mut seen = BTreeSet::new();
    for nth_change in 1.. {
        let disk = created();
        let storage = LocalStorage::open_on(disk.clone()).unwrap();
        storage.put(&name, &damaged).unwrap();
        storage.sync().unwrap();
        disk.crash_at(nth_change);
        let done = storage.replace_damaged(&name, &bytes).and_then(|()| storage.sync());
        for state in (0..20).map(|seed| disk.crash(seed)).chain(disk.crash_states()) {
            let storage = LocalStorage::open_on(state.clone()).unwrap();
            let found = storage.get(&name, u64::MAX).expect("the name is never gone");
            assert!(found == bytes || found == damaged, "change {nth_change}: neither the one nor the other");
            assert!(done.is_err() || found == bytes, "what was synced stays");
            seen.insert(found == bytes);
            // And it can be done again.
            storage.replace_damaged(&name, &bytes).unwrap();
            storage.sync().unwrap();
            assert!(storage.get(&name, u64::MAX).unwrap() == bytes);
        }
        if done.is_ok() {
            break;
        }
    }
    assert_eq!(seen, [false, true].into(), "both happen");
}

#[test]
fn a_deletion_is_durable_after_a_sync() {
    let (name, bytes) = object(ObjectKind::Pack, 100);
    let disk = created();
    let storage = LocalStorage::open_on(disk.clone()).unwrap();
    storage.put(&name, &bytes).unwrap();
    storage.sync().unwrap();
    storage.delete(&name).unwrap();
    let is_there = |state: SimDisk| LocalStorage::open_on(state).unwrap().len(&name).is_ok();
    let outcomes: BTreeSet<bool> = disk.crash_states().map(is_there).collect();
    assert_eq!(outcomes, [false, true].into());
    storage.sync().unwrap();
    assert!(!disk.crash_states().any(is_there));
}

#[test]
fn a_half_made_repository_can_be_created_again() {
    let disk = SimDisk::new();
    LocalStorage::create_on(disk.clone()).unwrap();
    let change_count = disk.change_count();
    for nth in 1..=change_count {
        let disk = SimDisk::new();
        disk.crash_at(nth);
        LocalStorage::create_on(disk.clone()).unwrap_err();
        for state in (0..100).map(|seed| disk.crash(seed)) {
            match LocalStorage::open_on(state.snapshot()) {
                Ok(_) => expect_sound(&state, &Objects::new()),
                Err(StorageError::NotARepository { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            LocalStorage::create_on(state.clone()).unwrap();
            workload(&state, &mut Objects::new()).unwrap();
        }
    }
}

#[test]
fn any_single_failure_is_survived_or_reported_and_never_lies() {
    let change_count = change_count_of(|disk| workload(disk, &mut Objects::new()).unwrap());
    let (mut survived, mut reported) = (0, 0);
    for errno in [Errno::IO, Errno::NOSPC] {
        for nth in 1..=change_count {
            let disk = created();
            let effect = DiskFaultEffect::Fail(errno.raw_os_error());
            disk.plan(DiskFault { operation: None, first: nth, count: 1, effect });
            let mut acknowledged = Objects::new();
            match workload(&disk, &mut acknowledged) {
                Ok(()) => survived += 1,
                Err(_) => reported += 1,
            }
            expect_sound(&disk, &acknowledged);
            (0..100).for_each(|seed| expect_sound(&disk.crash(seed), &acknowledged));
        }
    }
    assert!(survived > 10 && reported > 2, "{survived} survived, {reported} reported");
}

#[test]
fn a_full_disk_is_named_as_such_and_leaves_no_junk() {
    for operation in [DiskOperation::WriteAll, DiskOperation::SyncFile, DiskOperation::Rename] {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let disk = created();
            let effect = DiskFaultEffect::Fail(errno.raw_os_error());
            disk.plan(DiskFault { operation: Some(operation), first: 2, count: u64::MAX, effect });
            let mut acknowledged = Objects::new();
            let error = workload(&disk, &mut acknowledged).unwrap_err();
            assert!(error.is_no_space() && !error.is_retryable(), "{error:?}");
            assert_eq!(junk_count(&disk), 0);
            expect_sound(&disk, &acknowledged);
            disk.heal();
            workload(&disk, &mut acknowledged).expect("with space again, the same work succeeds");
        }
    }
}

#[test]
fn a_failed_write_or_sync_is_repeated_once_with_a_new_file() {
    let (name, bytes) = object(ObjectKind::Pack, 5_000);
    for operation in [DiskOperation::CreateNew, DiskOperation::WriteAll, DiskOperation::SyncFile] {
        for (count, is_survived) in [(1, true), (2, false)] {
            let disk = created();
            let effect = DiskFaultEffect::Fail(Errno::IO.raw_os_error());
            disk.plan(DiskFault { operation: Some(operation), first: 1, count, effect });
            let storage = LocalStorage::open_on(disk.clone()).unwrap();
            assert_eq!(storage.put(&name, &bytes).is_ok(), is_survived, "{operation:?} {count}");
            let creations: Vec<_> = disk.trace().into_iter().filter(|line| line.starts_with("CreateNew")).collect();
            assert_eq!(creations.len(), 2);
            assert_ne!(creations[0], creations[1]);
        }
    }
}

#[test]
fn a_failed_folder_sync_poisons() {
    let (name, bytes) = object(ObjectKind::Pack, 50);
    let disk = created();
    let storage = LocalStorage::open_on(disk.clone()).unwrap();
    storage.put(&name, &bytes).unwrap();
    let effect = DiskFaultEffect::Fail(Errno::IO.raw_os_error());
    disk.plan(DiskFault { operation: Some(DiskOperation::SyncFolder), first: 1, count: 1, effect });
    assert!(matches!(storage.sync(), Err(StorageError::Io { .. })));
    assert!(matches!(storage.sync(), Err(StorageError::Poisoned { .. })));
    assert_eq!(storage.get(&name, 50).unwrap(), bytes);
}

#[test]
fn junk_of_a_crash_goes_a_day_later() {
    let disk = created();
    disk.crash_at(6);
    let mut acknowledged = Objects::new();
    workload(&disk, &mut acknowledged).unwrap_err();
    let state = disk.crash_states().find(|state| junk_count(state) > 0).expect("a crash may leave junk");
    LocalStorage::open_on(state.clone()).unwrap();
    assert_eq!(junk_count(&state), 1, "it may be in use");
    state.advance_clock(Duration::from_secs(25 * 60 * 60));
    let erofs = DiskFaultEffect::Fail(Errno::ROFS.raw_os_error());
    state.plan(DiskFault { operation: Some(DiskOperation::RemoveFile), first: 1, count: 1, effect: erofs });
    LocalStorage::open_on(state.clone()).expect("a read-only repository opens");
    assert_eq!(junk_count(&state), 1);
    LocalStorage::open_on(state.clone()).unwrap();
    assert_eq!(junk_count(&state), 0);
}

fn junk_count(disk: &SimDisk) -> usize {
    let mut count = 0;
    disk.list_folder("tmp", &mut |_| count += 1).expect("a repository has this folder");
    count
}

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let disk = created();
        disk.crash_at(9);
        drop(workload(&disk, &mut Objects::new()));
        let crashed = disk.crash(7);
        workload(&crashed, &mut Objects::new()).unwrap();
        (disk.trace(), crashed.trace())
    };
    assert_eq!(run(), run());
}

#[test]
fn random_runs_are_sound_wherever_the_power_goes() {
    crash_random_runs(1, 5_000);
}

/// Prints the rate; ten seconds.
#[cfg(feature = "slow")]
#[test]
fn fifty_thousand_crash_states() {
    let started = std::time::Instant::now();
    crash_random_runs(2, 50_000);
    println!("{:.0} crash states a second", 50_000.0 / started.elapsed().as_secs_f64());
}

fn crash_random_runs(seed: u64, state_count: usize) {
    let mut random = Random::new(seed);
    for _ in 0..state_count / 100 {
        let disk = created();
        let acknowledged = random_run(&disk, &mut random);
        (0..100).for_each(|_| expect_sound(&disk.crash(random.next()), &acknowledged));
    }
}

/// Up to 60 puts of hundreds of KiB together, with syncs between, and the power cut somewhere.
fn random_run(disk: &SimDisk, random: &mut Random) -> Objects {
    disk.crash_at(1 + random.below(250) as u64);
    let (mut acknowledged, mut pending) = (Objects::new(), Vec::new());
    let Ok(storage) = LocalStorage::open_on(disk.clone()) else { return acknowledged };
    for _ in 0..60 {
        let kind = *random.pick(&[ObjectKind::Pack, ObjectKind::Pack, ObjectKind::Catalog, ObjectKind::Snapshot]);
        let (name, bytes) = object(kind, random.below(16_000));
        let is_done = if random.one_in(5) {
            let synced = storage.sync();
            pending.drain(..).for_each(|(name, bytes)| match synced {
                Ok(()) => acknowledged.acknowledge(name, bytes),
                Err(_) => drop(bytes),
            });
            synced.is_ok()
        } else {
            let put = storage.put(&name, &bytes);
            pending.push((name, bytes));
            put.is_ok()
        };
        if !is_done {
            break;
        }
    }
    acknowledged
}
