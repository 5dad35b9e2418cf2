//! Metadata on its way through a snapshot's entry and back.

use super::*;
use crate::platform::metadata::MetadataPart;
use rustix::fs::{XattrFlags, lsetxattr};
use vellum_format::tree::LinkGroup;

/// What a snapshot keeps of an entry.
fn metadata(folder: &SourceFolder, name: &EntryName) -> Metadata {
    let stat = folder.stat(name).unwrap();
    let read = folder.xattrs(name, stat.kind);
    assert!(read.unread.is_none(), "{read:?}");
    metadata_of(&stat, read.xattrs, &OwnerNames::load())
}

/// Restores an empty entry of this kind with this metadata, and compares what is found afterwards.
fn assert_round_trip(places: &Places, kind: FileKind, metadata_wanted: &Metadata) {
    let (target, at) = (places.target(), name("entry"));
    target.remove(&at).unwrap();
    let problems = match kind {
        FileKind::File => target.create_file(&at, 0).unwrap().finish(metadata_wanted, &policy()).unwrap(),
        FileKind::Folder => target.enter_or_create(&at).unwrap().apply_self(metadata_wanted, &policy()),
        FileKind::Symlink => {
            target.symlink(&at, b"nowhere").unwrap();
            target.apply(&at, kind, metadata_wanted, &policy())
        }
        FileKind::Fifo => {
            target.fifo(&at).unwrap();
            target.apply(&at, kind, metadata_wanted, &policy())
        }
        _ => {
            target.device(&at, kind, 10, 200).unwrap();
            target.apply(&at, kind, metadata_wanted, &policy())
        }
    };
    assert_fine(&problems);
    let source = SourceFolder::open_root(&places.path("target")).unwrap();
    let found = metadata(&source, &at);
    assert_eq!(source.stat(&at).unwrap().kind, kind);
    let names = OwnerNames::load();
    let wanted = Metadata {
        mode: if kind == FileKind::Symlink { 0o777 } else { metadata_wanted.mode },
        user: names.user(metadata_wanted.uid).to_vec(),
        group: names.group(metadata_wanted.gid).to_vec(),
        ..metadata_wanted.clone()
    };
    assert_eq!(found, wanted, "{kind:?}");
}

fn kinds() -> Vec<FileKind> {
    let mut kinds = vec![FileKind::File, FileKind::Folder, FileKind::Symlink, FileKind::Fifo];
    if is_root() {
        kinds.extend([FileKind::CharDevice, FileKind::BlockDevice]);
    }
    kinds
}

/// The kernel's encoding of an access list: version 2, then tag, permissions and number of each line.
fn acl(lines: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in lines {
        bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// user::rw-, user:12345:rw-, group::---, mask::rw-, other::r--
fn access_acl() -> Vec<u8> {
    acl(&[(1, 6, u32::MAX), (2, 6, 12345), (4, 0, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)])
}

/// `cap_net_raw+ep` in revision 2.
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn modes_times_and_owners_come_back() {
    let places = Places::new();
    let times = [(-1, 500_000_000), (-2_000_000_000, 1), (0, 0), (1_700_000_000, 999_999_999), (4_000_000_000, 7)];
    for kind in kinds() {
        for (mode, (seconds, nanoseconds)) in [0o4755, 0o2711, 0o1777, 0o000, 0o644].into_iter().zip(times) {
            let modified = Timestamp { seconds, nanoseconds };
            let owner = if is_root() { (54_321, 65_432) } else { (plain(0).uid, plain(0).gid) };
            assert_round_trip(&places, kind, &Metadata { modified, uid: owner.0, gid: owner.1, ..plain(mode) });
        }
    }
}

#[test]
fn a_device_keeps_its_number() {
    if !is_root() {
        return println!("SKIPPED: only root makes devices");
    }
    let places = Places::new();
    places.target().device(&name("d"), FileKind::CharDevice, 1, 300).unwrap();
    places.target().device(&name("d"), FileKind::BlockDevice, 259, 70_000).unwrap();
    let stat = places.target().existing(&name("d")).unwrap().unwrap();
    assert_eq!((stat.kind, stat.device_major, stat.device_minor), (FileKind::BlockDevice, 259, 70_000));
    assert!(places.target().device(&name("d"), FileKind::File, 1, 1).is_err());
}

#[test]
fn extended_attributes_come_back_on_every_kind() {
    let places = Places::new();
    for kind in kinds() {
        let mut xattrs = Vec::new();
        if is_root() {
            xattrs.push((b"security.vellum".to_vec(), b"label\0".to_vec()));
            xattrs.push((b"trusted.vellum".to_vec(), vec![0xff; 1500]));
        }
        if matches!(kind, FileKind::File | FileKind::Folder) {
            xattrs.push((b"user.empty".to_vec(), Vec::new()));
            xattrs.push((b"user.non\xffutf8".to_vec(), (0..=255).collect()));
        }
        assert_round_trip(&places, kind, &Metadata { xattrs, ..plain(0o640) });
    }
}

#[test]
fn a_list_of_names_above_the_small_buffer_is_whole() {
    let places = Places::new();
    let xattrs: Vec<_> = (0..60).map(|i| (format!("user.a long name {i:0>4}").into_bytes(), vec![i])).collect();
    assert_round_trip(&places, FileKind::File, &Metadata { xattrs, ..plain(0o640) });
}

#[test]
fn access_lists_come_back_with_the_mode() {
    let places = Places::new();
    let access = (b"system.posix_acl_access".to_vec(), access_acl());
    let default = (b"system.posix_acl_default".to_vec(), access_acl());
    assert_round_trip(&places, FileKind::File, &Metadata { xattrs: vec![access.clone()], ..plain(0o664) });
    assert_round_trip(&places, FileKind::Fifo, &Metadata { xattrs: vec![access.clone()], ..plain(0o664) });
    assert_round_trip(&places, FileKind::File, &Metadata { xattrs: vec![access.clone()], ..plain(0o6664) });
    assert_round_trip(&places, FileKind::Folder, &Metadata { xattrs: vec![access, default], ..plain(0o3664) });
}

#[test]
fn without_its_access_list_a_file_gives_the_group_nothing() {
    let places = Places::new();
    let broken = (b"system.posix_acl_access".to_vec(), b"broken".to_vec());
    let metadata = Metadata { xattrs: vec![broken.clone()], ..plain(0o664) };
    let problems = places.target().create_file(&name("file"), 0).unwrap().finish(&metadata, &policy()).unwrap();
    let parts: Vec<_> = problems.into_iter().map(|problem| problem.part).collect();
    assert_eq!(parts, [MetadataPart::Xattr(broken.0)]);
    assert_eq!(places.target().existing(&name("file")).unwrap().unwrap().mode, 0o604);
}

#[test]
fn what_setfacl_and_setcap_wrote_comes_back() {
    let places = Places::new();
    let path = places.path("source/file");
    std::fs::write(&path, b"x").unwrap();
    run("setfacl", &["-m".as_ref(), "u:12345:r,g:54321:rw".as_ref(), path.as_os_str()]);
    if is_root() {
        run("setcap", &["cap_net_raw+ep".as_ref(), path.as_os_str()]);
    }
    let wanted = metadata(&places.source(), &name("file"));
    println!(
        "attributes: {:?}",
        wanted.xattrs.iter().map(|(name, _)| name.escape_ascii().to_string()).collect::<Vec<_>>()
    );
    assert_round_trip(&places, FileKind::File, &wanted);
}

#[test]
fn a_default_acl_in_the_target_gives_nobody_more() {
    let places = Places::new();
    let parent = places.target().enter_or_create(&name("parent")).unwrap();
    lsetxattr(places.path("target/parent"), "system.posix_acl_default", &access_acl(), XattrFlags::empty()).unwrap();
    restore(&parent, &name("file"), b"secret", &plain(0o640));
    parent.fifo(&name("pipe")).unwrap();
    assert_fine(&parent.apply(&name("pipe"), FileKind::Fifo, &plain(0o640), &policy()));
    let folder = parent.enter_or_create(&name("folder")).unwrap();
    assert_fine(&folder.apply_self(&plain(0o750), &policy()));
    let found = SourceFolder::open_root(&places.path("target/parent")).unwrap();
    for (at, mode) in [("file", 0o640), ("pipe", 0o640), ("folder", 0o750)] {
        let metadata = metadata(&found, &name(at));
        assert_eq!((metadata.mode, metadata.xattrs), (mode, Vec::new()), "{at}");
    }
}

#[test]
fn an_existing_folder_loses_what_the_snapshot_does_not_have() {
    let places = Places::new();
    let path = places.path("target/folder");
    let target = places.target();
    let folder = target.enter_or_create(&name("folder")).unwrap();
    for (at, value) in [("user.kept", b"old"), ("user.extra", b"old")] {
        lsetxattr(&path, at, value, XattrFlags::empty()).unwrap();
    }
    let xattrs = vec![(b"user.kept".to_vec(), b"new".to_vec())];
    assert_fine(&folder.apply_self(&Metadata { xattrs: xattrs.clone(), ..plain(0o750) }, &policy()));
    assert_eq!(SourceFolder::open_root(&path).unwrap().xattrs_self().xattrs, xattrs);
}

#[test]
fn capabilities_survive_the_change_of_owner() {
    if !is_root() {
        return println!("SKIPPED: only root gives capabilities");
    }
    let places = Places::new();
    let xattrs = vec![(b"security.capability".to_vec(), capability())];
    assert_round_trip(&places, FileKind::File, &Metadata { xattrs, uid: 54_321, gid: 65_432, ..plain(0o4755) });
}

#[test]
fn owners_go_by_name_unless_numbers_are_wanted() {
    if !is_root() {
        return println!("SKIPPED: only root gives files away");
    }
    let places = Places::new();
    let (target, names) = (places.target(), OwnerNames::load());
    let metadata =
        Metadata { uid: 54_321, gid: 65_432, user: b"daemon".to_vec(), group: b"no such".to_vec(), ..plain(0o600) };
    for (numeric, uid) in [(false, names.uid(b"daemon").unwrap()), (true, 54_321)] {
        let file = target.create_file(&name("file"), 0).unwrap();
        assert_fine(&file.finish(&metadata, &OwnerPolicy::of_this_process(numeric)).unwrap());
        let found = target.existing(&name("file")).unwrap().unwrap();
        assert_eq!((found.uid, found.gid), (uid, 65_432));
    }
}

#[test]
fn an_impossible_owner_is_a_problem_and_withholds_setuid() {
    let places = Places::new();
    let metadata = Metadata { uid: u32::MAX, ..plain(0o6755) };
    let problems = places.target().create_file(&name("file"), 0).unwrap().finish(&metadata, &policy()).unwrap();
    let parts: Vec<_> = problems.into_iter().map(|problem| problem.part).collect();
    let expected = [MetadataPart::Owner, MetadataPart::PrivilegeBits];
    assert_eq!(parts, if is_root() { &expected[..] } else { &expected[1..] });
    assert_eq!(places.target().existing(&name("file")).unwrap().unwrap().mode, 0o2755);
}

#[test]
fn a_time_that_the_file_system_cannot_keep_is_a_problem() {
    let places = Places::new();
    for seconds in [i64::MIN, -1 << 40, 1 << 40, i64::MAX] {
        let metadata = Metadata { modified: Timestamp { seconds, nanoseconds: 0 }, ..plain(0o600) };
        let problems = places.target().create_file(&name("file"), 0).unwrap().finish(&metadata, &policy()).unwrap();
        let parts: Vec<_> = problems.into_iter().map(|problem| problem.part).collect();
        let is_kept = places.target().existing(&name("file")).unwrap().unwrap().modified.seconds == seconds;
        assert_eq!(parts, if is_kept { vec![] } else { vec![MetadataPart::Modified] }, "{seconds}");
    }
}

#[test]
fn hard_links_share_their_inode_and_say_so() {
    let places = Places::new();
    let target = places.target();
    let (first, second, folder) = (name("first"), name("second"), target.enter_or_create(&name("folder")).unwrap());
    restore(&target, &first, b"shared", &plain(0o640));
    let source = SourceFolder::open_root(&places.path("target")).unwrap();
    assert_eq!(metadata(&source, &first).link_group, None);
    assert_eq!(metadata(&source, &name("folder")).link_group, None);
    folder.hard_link(&second, (&target, &first)).unwrap();
    let stat = source.stat(&first).unwrap();
    let group = Some(LinkGroup { device: stat.device, inode: stat.inode });
    assert_eq!(metadata(&source, &first).link_group, group);
    assert_eq!(metadata(&source.open_child(&name("folder")).unwrap(), &second).link_group, group);
    let missing = target.hard_link(&second, (&target, &name("none"))).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}
