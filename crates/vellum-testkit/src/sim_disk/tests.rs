use super::crash::{PAGE_LEN_BYTES, SECTOR_LEN_BYTES};
use super::*;
use rustix::io::Errno;
use std::collections::BTreeSet;
use vellum_storage::Disk as _;

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) -> usize {
    let mut file = disk.create_new(path).unwrap();
    disk.write_all(&mut file, bytes).unwrap();
    file
}

fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.read_range(path, 0..disk.file_len(path).ok()?).ok()
}

/// What may be read under a path after a power cut now.
fn outcomes(disk: &SimDisk, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..500).map(|seed| disk.crash(seed)).chain(disk.crash_states()).map(|state| read(&state, path)).collect()
}

#[test]
fn what_is_not_synced_may_be_lost_and_what_is_never() {
    let disk = SimDisk::new();
    let file = write(&disk, "a", b"content");
    disk.sync_folder("").unwrap();
    let torn = outcomes(&disk, "a");
    for possible in [&b""[..], b"content", b"con", &[0; 7]] {
        assert!(torn.contains(&Some(possible.to_vec())), "{possible:?}");
    }
    assert!(!torn.contains(&None), "the name is durable");
    disk.sync_file(&file).unwrap();
    assert_eq!(outcomes(&disk, "a"), [Some(b"content".to_vec())].into());
    assert_eq!(read(&disk.crash(1).crash(2), "a"), Some(b"content".to_vec()));
}

#[test]
fn a_name_needs_its_folder_synced() {
    let disk = SimDisk::new();
    let file = write(&disk, "a", b"x");
    disk.sync_file(&file).unwrap();
    assert_eq!(outcomes(&disk, "a"), [None, Some(b"x".to_vec())].into());
}

#[test]
fn a_rename_is_two_names_with_a_fate_each() {
    let disk = SimDisk::new();
    disk.make_folder("f").unwrap();
    let file = write(&disk, "a", b"x");
    disk.sync_file(&file).unwrap();
    disk.sync_folder("").unwrap();
    disk.rename_no_replace("a", "f/b").unwrap();
    let seen: BTreeSet<_> =
        disk.crash_states().map(|state| (read(&state, "a").is_some(), read(&state, "f/b").is_some())).collect();
    assert_eq!(seen.len(), 4);
    disk.sync_folder("f").unwrap();
    assert_eq!(outcomes(&disk, "f/b"), [Some(b"x".to_vec())].into());
    assert_eq!(outcomes(&disk, "a").len(), 2);
    disk.sync_folder("").unwrap();
    assert_eq!(outcomes(&disk, "a"), [None].into());
}

#[test]
fn a_replaced_name_holds_one_of_the_two_and_is_never_gone() {
    let disk = SimDisk::new();
    for (path, content) in [("a", b"old"), ("b", b"new")] {
        let file = write(&disk, path, content);
        disk.sync_file(&file).unwrap();
    }
    disk.sync_folder("").unwrap();
    disk.rename_replace("b", "a").unwrap();
    assert_eq!(outcomes(&disk, "a"), [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
    disk.sync_folder("").unwrap();
    assert_eq!(outcomes(&disk, "a"), [Some(b"new".to_vec())].into());
    assert_eq!(outcomes(&disk, "b"), [None].into());
}

#[test]
fn a_removed_name_may_come_back_and_every_earlier_meaning_too() {
    let disk = SimDisk::new();
    for content in [b"1", b"2", b"3"] {
        let file = write(&disk, "a", content);
        disk.sync_file(&file).unwrap();
        disk.remove_file("a").unwrap();
    }
    let expected = [None, Some(b"1".to_vec()), Some(b"2".to_vec()), Some(b"3".to_vec())];
    assert_eq!(outcomes(&disk, "a"), expected.into());
    disk.sync_folder("").unwrap();
    assert_eq!(outcomes(&disk, "a"), [None].into());
}

#[test]
fn large_content_tears_by_sectors() {
    let disk = SimDisk::new();
    let content: Vec<u8> = (1..=250).cycle().take(3 * PAGE_LEN_BYTES + 100).collect();
    write(&disk, "a", &content);
    disk.sync_folder("").unwrap();
    let states = outcomes(&disk, "a");
    assert!(states.len() > 200, "{}", states.len());
    for state in states.into_iter().flatten() {
        for (sector, expected) in state.chunks(SECTOR_LEN_BYTES).zip(content.chunks(SECTOR_LEN_BYTES)) {
            assert!(expected.starts_with(sector) || sector.iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn a_failed_sync_cannot_be_repeated() {
    let disk = SimDisk::new();
    let fail = |operation| {
        let effect = DiskFaultEffect::Fail(Errno::IO.raw_os_error());
        disk.plan(DiskFault { operation: Some(operation), first: 1, count: 1, effect });
    };
    let file = write(&disk, "a", b"content");
    fail(DiskOperation::SyncFile);
    assert_eq!(disk.sync_file(&file).unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    disk.sync_file(&file).unwrap();
    assert!(outcomes(&disk, "a").contains(&Some(Vec::new())));

    let file = write(&disk, "b", b"content");
    disk.sync_file(&file).unwrap();
    fail(DiskOperation::SyncFolder);
    disk.sync_folder("").unwrap_err();
    disk.sync_folder("").unwrap();
    assert_eq!(outcomes(&disk, "b").len(), 2);
}

#[test]
fn a_lying_disk_says_it_synced() {
    let disk = SimDisk::new();
    disk.plan(DiskFault { operation: None, first: 3, count: 1, effect: DiskFaultEffect::Lie });
    let file = write(&disk, "a", b"content");
    disk.sync_file(&file).unwrap();
    disk.sync_folder("").unwrap();
    assert!(outcomes(&disk, "a").contains(&Some(Vec::new())));
}

#[test]
fn the_power_goes_at_the_chosen_change() {
    let disk = SimDisk::new();
    disk.crash_at(2);
    let mut file = disk.create_new("a").unwrap();
    assert!(!disk.is_crashed());
    assert_eq!(disk.write_all(&mut file, b"x").unwrap_err().to_string(), "injected crash");
    assert!(disk.is_crashed());
    disk.file_len("a").unwrap_err();
    disk.make_folder("f").unwrap_err();
    assert_eq!(disk.change_count(), 2);
    assert!(disk.crash(0).make_folder("f").is_ok());
}

#[test]
fn copies_are_independent_and_handles_are_not() {
    let disk = SimDisk::new();
    let (copy, handle) = (disk.snapshot(), disk.clone());
    write(&disk, "a", b"x");
    assert_eq!((read(&copy, "a"), read(&handle, "a")), (None, Some(b"x".to_vec())));
}

#[test]
fn one_recorded_run_has_the_disk_of_each_run_that_is_cut_off() {
    let work = |disk: &SimDisk| -> io::Result<()> {
        let mut file = disk.create_new("a")?;
        disk.write_all(&mut file, b"content")?;
        disk.sync_file(&file)?;
        disk.rename_no_replace("a", "b")?;
        disk.sync_folder("")
    };
    let whole = SimDisk::new();
    whole.record_cuts();
    work(&whole).unwrap();
    let cuts = whole.take_cuts();
    assert_eq!(cuts.len(), 6);
    for (at, cut) in cuts.iter().enumerate() {
        let disk = SimDisk::new();
        disk.crash_at(at as u64 + 1);
        drop(work(&disk));
        for seed in 0..50 {
            assert_eq!(cut.crash(seed).print(""), disk.crash(seed).print(""), "change {at}, seed {seed}");
        }
    }
    assert!(whole.take_cuts().len() == 1, "it records only when it was asked to");
}

#[test]
fn prints_tell_disks_apart() {
    let disk = SimDisk::new();
    disk.make_folder("tmp").unwrap();
    let before = disk.print("");
    let mut file = write(&disk, "tmp/a", b"x");
    let one = (disk.print(""), disk.print("tmp"));
    disk.write_all(&mut file, b"y").unwrap();
    let other = (disk.print(""), disk.print("tmp"));
    assert!(before != one.0 && one.0 != other.0 && one.1 == other.1);
}
