//! Nothing outside the target is written or removed, whatever stands in it.

use super::*;
use crate::platform::metadata::MetadataPart;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A file outside whose content, mode and times must stay.
fn outside(places: &Places) -> PathBuf {
    let path = places.path("outside/precious");
    std::fs::write(&path, b"precious").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
    path
}

fn assert_untouched(places: &Places) {
    let path = places.path("outside/precious");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime() > 1_700_000_000), (0o604, true));
    assert_eq!(std::fs::read_dir(places.path("outside")).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_place_of_a_folder_becomes_a_real_folder() {
    let places = Places::new();
    outside(&places);
    symlink(places.path("outside"), places.path("target/folder")).unwrap();
    let target = places.target();
    assert_eq!(target.open_child(&name("folder"), Found::Anything).unwrap_err().kind(), ErrorKind::NotADirectory);
    let folder = target.enter_or_create(&name("folder")).unwrap();
    restore(&folder, &name("precious"), b"restored", &plain(0o644));
    assert_fine(&folder.apply_self(&plain(0o755), &policy()));
    assert_untouched(&places);
    assert!(std::fs::symlink_metadata(places.path("target/folder")).unwrap().is_dir());
    assert_eq!(std::fs::read(places.path("target/folder/precious")).unwrap(), b"restored");
}

#[test]
fn a_file_in_the_place_of_a_folder_becomes_a_folder() {
    let places = Places::new();
    std::fs::hard_link(outside(&places), places.path("target/folder")).unwrap();
    places.target().enter_or_create(&name("folder")).unwrap();
    assert_eq!(places.target().existing(&name("folder")).unwrap().unwrap().mode, 0o700);
    assert_untouched(&places);
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_when_the_file_is_finished() {
    let places = Places::new();
    symlink(outside(&places), places.path("target/file")).unwrap();
    symlink(places.path("outside/new"), places.path("target/dangling")).unwrap();
    let target = places.target();
    for at in ["file", "dangling"] {
        let file = target.create_file(&name(at), 8).unwrap();
        file.write_at(0, b"restored").unwrap();
        assert_eq!(target.existing(&name(at)).unwrap().unwrap().kind, FileKind::Symlink);
        assert_fine(&file.finish(&plain(0o600), &policy()).unwrap());
        assert_eq!(target.existing(&name(at)).unwrap().unwrap().kind, FileKind::File);
    }
    assert_untouched(&places);
    assert_eq!(target.names().unwrap(), [name("dangling"), name("file")]);
}

#[test]
fn an_existing_file_is_never_written_in_place() {
    let places = Places::new();
    std::fs::hard_link(outside(&places), places.path("target/file")).unwrap();
    let file = places.target().create_file(&name("file"), 8).unwrap();
    file.write_at(0, b"restored").unwrap();
    assert_eq!(std::fs::read(places.path("target/file")).unwrap(), b"precious");
    assert_fine(&file.finish(&plain(0o4755), &policy()).unwrap());
    assert_eq!(std::fs::read(places.path("target/file")).unwrap(), b"restored");
    assert_untouched(&places);
}

#[test]
fn links_pipes_and_hard_links_replace_what_is_there() {
    let places = Places::new();
    let target = places.target();
    restore(&target, &name("original"), b"original", &plain(0o644));
    for at in ["link", "pipe", "hard"] {
        symlink(outside(&places), places.path("target").join(at)).unwrap();
    }
    for _ in 0..2 {
        target.symlink(&name("link"), b"any\xffwhere").unwrap();
        target.fifo(&name("pipe")).unwrap();
        target.hard_link(&name("hard"), (&target, &name("original"))).unwrap();
        assert_untouched(&places);
    }
    let kinds = ["link", "pipe", "hard"].map(|at| target.existing(&name(at)).unwrap().unwrap().kind);
    assert_eq!(kinds, [FileKind::Symlink, FileKind::Fifo, FileKind::File]);
    assert_eq!(target.existing(&name("original")).unwrap().unwrap().links, 2);
    assert_eq!(target.names().unwrap(), ["hard", "link", "original", "pipe"].map(name));
}

#[test]
fn only_an_empty_folder_gives_way() {
    let places = Places::new();
    let target = places.target();
    let full = target.enter_or_create(&name("full")).unwrap();
    restore(&full, &name("kept"), b"kept", &plain(0o644));
    let at = name("full");
    assert_eq!(target.create_file(&at, 1).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    let in_parts = |at| target.create_file_in_parts(at, 0).unwrap().finish(&plain(0o644), &policy());
    assert_eq!(in_parts(&at).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(target.symlink(&at, b"x").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(target.fifo(&at).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    for at in ["file", "link", "parts"] {
        target.enter_or_create(&name(at)).unwrap();
    }
    assert_fine(&in_parts(&name("parts")).unwrap());
    restore(&target, &name("file"), b"x", &plain(0o644));
    target.symlink(&name("link"), b"x").unwrap();
    assert_eq!(target.names().unwrap(), ["file", "full", "link", "parts"].map(name));
}

#[test]
fn a_swapped_folder_is_not_followed() {
    let places = Places::new();
    outside(&places);
    let target = places.target();
    let folder = target.enter_or_create(&name("folder")).unwrap();
    let file = folder.create_file(&name("precious"), 8).unwrap();
    std::fs::rename(places.path("target/folder"), places.path("target/moved")).unwrap();
    symlink(places.path("outside"), places.path("target/folder")).unwrap();
    file.write_at(0, b"restored").unwrap();
    assert_fine(&file.finish(&plain(0o644), &policy()).unwrap());
    folder.remove(&name("precious")).unwrap();
    assert_untouched(&places);
    let inner = folder.enter_or_create(&name("inner")).unwrap();
    assert_eq!(inner.names().unwrap(), []);
    let above = SourceFolder::open_root(&places.path("target/moved")).unwrap();
    let (expected, inner) = (above.stat_self().unwrap(), above.open_child(&name("inner")).unwrap());
    std::fs::rename(places.path("target/moved/inner"), places.path("target/inner")).unwrap();
    assert_eq!(inner.open_parent(&expected).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn metadata_never_goes_through_a_link() {
    let places = Places::new();
    symlink(outside(&places), places.path("target/pipe")).unwrap();
    let target = places.target();
    for kind in [FileKind::Fifo, FileKind::File] {
        let problems = target.apply(&name("pipe"), kind, &plain(0o777), &policy());
        assert_eq!(problems.iter().map(|problem| &problem.part).collect::<Vec<_>>(), [&MetadataPart::Everything]);
    }
    assert_fine(&target.apply(&name("pipe"), FileKind::Symlink, &plain(0o777), &policy()));
    assert_untouched(&places);
}

#[test]
fn removing_does_not_follow_links() {
    let places = Places::new();
    outside(&places);
    let target = places.target();
    let folder = target.enter_or_create(&name("folder")).unwrap();
    let inner = folder.enter_or_create(&name("inner")).unwrap();
    restore(&inner, &name("file"), b"x", &plain(0o400));
    inner.symlink(&name("file link"), places.path("outside/precious").as_os_str().as_bytes()).unwrap();
    folder.symlink(&name("folder link"), places.path("outside").as_os_str().as_bytes()).unwrap();
    folder.fifo(&name("pipe")).unwrap();
    assert_fine(&inner.apply_self(&plain(0o000), &policy()));
    assert_fine(&folder.apply_self(&plain(0o500), &policy()));
    target.symlink(&name("link"), places.path("outside").as_os_str().as_bytes()).unwrap();
    for at in ["folder", "link", "not there"] {
        target.remove(&name(at)).unwrap();
    }
    assert_eq!(target.names().unwrap(), []);
    assert_untouched(&places);
}

#[test]
fn removing_does_not_enter_what_is_mounted() {
    let places = Places::new();
    outside(&places);
    let target = places.target();
    target.enter_or_create(&name("folder")).unwrap().enter_or_create(&name("mounted")).unwrap();
    let (from, at) = (places.path("outside"), places.path("target/folder/mounted"));
    if !run("mount", &["--bind".as_ref(), from.as_os_str(), at.as_os_str()]) {
        return println!("SKIPPED: a bind mount needs root and mount");
    }
    let removed = target.remove(&name("folder"));
    assert!(run("umount", &[at.as_os_str()]));
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::CrossesDevices);
    assert_untouched(&places);
    target.remove(&name("folder")).unwrap();
}

#[test]
fn our_own_locked_folders_are_entered_again() {
    let places = Places::new();
    let target = places.target();
    let at = name("locked");
    for mode in [0o000, 0o500, 0o755] {
        let folder = target.enter_or_create(&at).unwrap();
        restore(&folder, &name("file"), b"x", &plain(0o400));
        assert_fine(&folder.apply_self(&plain(mode), &policy()));
        assert_eq!(target.existing(&at).unwrap().unwrap().mode, mode);
    }
}

#[test]
fn what_has_taken_the_place_of_a_suspended_file_is_neither_written_nor_removed() {
    let places = Places::new();
    let (target, elsewhere) = (places.target(), places.path("source/elsewhere"));
    std::fs::write(&elsewhere, b"precious").unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
    let replacements: [&dyn Fn(&Path); 4] = [
        &|at| std::fs::hard_link(&elsewhere, at).unwrap(),
        &|at| symlink(&elsewhere, at).unwrap(),
        &|at| std::fs::write(at, b"longer than it").unwrap(),
        &|at| assert!(run("mkfifo", &[at.as_os_str()])),
    ];
    for replace in replacements {
        let file = target.create_file_in_parts(&name("file"), 10).unwrap();
        file.write_at(0, b"restored").unwrap();
        let suspended = file.suspend().unwrap();
        let temporary = target.names().unwrap().next().unwrap();
        let at = join(&places.path("target"), &temporary);
        drop(target.resume_file(&name("file"), &suspended, 10).unwrap().suspend().unwrap());
        // Not removed first: its number would be free for another.
        let other = places.path("source/other");
        replace(&other);
        std::fs::rename(&other, &at).unwrap();
        assert!(target.resume_file(&name("file"), &suspended, 10).is_err());
        target.remove_suspended(&suspended).unwrap();
        assert!(target.existing(&temporary).unwrap().is_some());
        std::fs::remove_file(&at).unwrap();
        target.remove_suspended(&suspended).unwrap();
    }
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
}
