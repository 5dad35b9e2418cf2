//! Names, depths, lengths, holes, and sources that change under the reader.

use super::*;
use proptest::prelude::*;
use std::io::ErrorKind;

#[test]
fn a_path_of_7500_bytes_is_written_and_read() {
    let places = Places::new();
    let long = name([b'd'; 250]);
    let mut folder = places.target();
    for _ in 0..30 {
        folder = folder.enter_or_create(&long).unwrap();
    }
    restore(&folder, &name("leaf"), b"deep", &plain(0o644));
    let mut found = SourceFolder::open_root(&places.path("target")).unwrap();
    for _ in 0..30 {
        assert_eq!(found.names().unwrap(), std::slice::from_ref(&long));
        found = found.open_child(&long).unwrap();
    }
    assert_eq!(read(&found, &name("leaf")), b"deep");
    let whole: PathBuf =
        std::iter::once(places.path("target")).chain(std::iter::repeat_n(PathBuf::from("d".repeat(250)), 30)).collect();
    assert_eq!(read(&SourceFolder::open_root(&whole).unwrap(), &name("leaf")), b"deep");
    TargetFolder::create_root(&whole.join("made").join("more")).unwrap();
    places.target().remove(&long).unwrap();
    assert_eq!(places.target().names().unwrap(), []);
}

#[test]
fn three_thousand_levels_need_few_handles() {
    let places = Places::new();
    let step = name("s");
    let (mut folder, mut above) = (places.target(), Vec::new());
    for _ in 0..3000 {
        folder = folder.enter_or_create(&step).unwrap();
    }
    restore(&folder, &name("leaf"), b"deep", &plain(0o600));
    let mut found = SourceFolder::open_root(&places.path("target")).unwrap();
    for _ in 0..3000 {
        above.push(found.stat_self().unwrap());
        found = found.open_child(&step).unwrap();
    }
    assert_eq!(read(&found, &name("leaf")), b"deep");
    for expected in above.iter().rev() {
        found = found.open_parent(expected).unwrap();
    }
    assert_eq!(found.names().unwrap(), std::slice::from_ref(&step));
    places.target().remove(&step).unwrap();
    assert_eq!(places.target().names().unwrap(), []);
}

#[test]
fn names_are_bytes_and_come_sorted() {
    let places = Places::new();
    let target = places.target();
    let mut names =
        [&b"\xff\xfe"[..], b"line\nbreak", b"\x01", b" ", b"~", b"\xc3\xa9", b"e\xcc\x81"].map(name).to_vec();
    names.push(name([b'x'; 255]));
    names.push(name([0x80; 255]));
    names.push(name(".vellum-0000000000000000"));
    for name in &names {
        restore(&target, name, name.as_bytes(), &plain(0o644));
    }
    names.sort();
    let mut source = SourceFolder::open_root(&places.path("target")).unwrap();
    assert_eq!(source.names().unwrap(), names);
    for name in &names {
        assert_eq!(read(&source, name), name.as_bytes());
    }
}

#[test]
fn a_large_folder_lists_every_name_each_time() {
    let places = Places::new();
    let expected: Vec<_> = (0..5000).map(|i| name(format!("{i:0>60}"))).collect();
    for name in &expected {
        std::fs::write(join(&places.path("source"), name), b"").unwrap();
    }
    let mut source = places.source();
    assert_eq!(source.names().unwrap(), expected);
    assert_eq!(source.names().unwrap(), expected);
}

#[test]
fn a_root_may_be_reached_through_links_and_be_slash() {
    let places = Places::new();
    std::os::unix::fs::symlink("source", places.path("link")).unwrap();
    std::fs::write(places.path("source/file"), b"x").unwrap();
    let through = SourceFolder::open_root(&places.path("link/../link")).unwrap();
    assert_eq!(read(&through, &name("file")), b"x");
    assert_eq!(read(&SourceFolder::pass(&places.path("link/../link")).unwrap(), &name("file")), b"x");
    assert!(SourceFolder::open_root(Path::new("/")).unwrap().names().unwrap().any(|found| found == name("proc")));
    assert_eq!(TargetFolder::create_root(Path::new("")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(SourceFolder::open_root(&places.path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(SourceFolder::open_root(&places.path("source/file")).unwrap_err().kind(), ErrorKind::NotADirectory);
    std::os::unix::fs::symlink("target", places.path("way")).unwrap();
    restore(&TargetFolder::create_root(&places.path("way/a/b")).unwrap(), &name("c"), b"c", &plain(0o644));
    assert_eq!(std::fs::read(places.path("target/a/b/c")).unwrap(), b"c");
}

#[test]
fn what_vanishes_is_not_found() {
    let places = Places::new();
    let (source, gone) = (places.source(), name("gone"));
    assert_eq!(source.stat(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(source.open_file(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(source.open_child(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(source.read_link(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(source.xattrs(&gone, FileKind::File).unread.unwrap().source.kind(), ErrorKind::NotFound);
    std::fs::create_dir(places.path("source/folder")).unwrap();
    let mut folder = source.open_child(&name("folder")).unwrap();
    std::fs::remove_dir(places.path("source/folder")).unwrap();
    assert!(
        folder.names().map_or_else(|error| error.kind() == ErrorKind::NotFound, |mut names| names.next().is_none())
    );
}

#[test]
fn a_file_that_shrinks_while_read_ends_early_and_shows_it() {
    let places = Places::new();
    std::fs::write(places.path("source/file"), vec![7; 3 << 20]).unwrap();
    let mut file = places.source().open_file(&name("file")).unwrap();
    let mut start = vec![0; 1 << 20];
    file.read_exact(&mut start).unwrap();
    assert_eq!(file.stat().unwrap().identity(), file.opened().identity());
    std::fs::File::options().write(true).open(places.path("source/file")).unwrap().set_len(10).unwrap();
    assert_eq!(file.read(&mut start).unwrap(), 0);
    assert_eq!((file.opened().len_bytes, file.stat().unwrap().len_bytes), (3 << 20, 10));
    assert_ne!(file.stat().unwrap().identity(), file.opened().identity());
}

#[test]
fn a_rewrite_that_hides_behind_its_time_changes_the_identity() {
    let places = Places::new();
    std::fs::write(places.path("source/file"), b"before").unwrap();
    let before = places.source().stat(&name("file")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(places.path("source/file"), b"behind").unwrap();
    let file = std::fs::File::options().write(true).open(places.path("source/file")).unwrap();
    super::super::inode::Inode::Open(std::os::fd::AsFd::as_fd(&file)).set_modified(before.modified).unwrap();
    let after = places.source().stat(&name("file")).unwrap();
    assert_eq!((before.modified, before.len_bytes, before.inode), (after.modified, after.len_bytes, after.inode));
    assert_ne!(before.identity(), after.identity());
}

#[test]
fn a_pipe_or_link_in_the_place_of_a_file_is_refused_at_once() {
    let places = Places::new();
    places.target().fifo(&name("pipe")).unwrap();
    std::fs::rename(places.path("target/pipe"), places.path("source/pipe")).unwrap();
    std::fs::create_dir(places.path("source/folder")).unwrap();
    std::os::unix::fs::symlink("folder", places.path("source/link")).unwrap();
    let source = places.source();
    assert_eq!(source.open_file(&name("pipe")).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(source.open_file(&name("folder")).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(
        source.open_file(&name("link")).unwrap_err().raw_os_error(),
        Some(rustix::io::Errno::LOOP.raw_os_error())
    );
    assert_eq!(source.open_child(&name("link")).unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(source.read_link(&name("link")).unwrap(), b"folder");
}

#[cfg(target_os = "linux")]
#[test]
fn reading_leaves_the_access_time() {
    use std::os::unix::fs::MetadataExt;
    let places = Places::new();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
    std::fs::write(places.path("source/file"), b"x").unwrap();
    for path in [places.path("source/file"), places.path("source")] {
        std::fs::File::open(path).unwrap().set_times(std::fs::FileTimes::new().set_accessed(old)).unwrap();
    }
    assert_eq!(read(&places.source(), &name("file")), b"x");
    assert_eq!(places.source().names().unwrap(), [name("file")]);
    for path in [places.path("source/file"), places.path("source")] {
        assert_eq!(std::fs::metadata(path).unwrap().atime(), 5);
    }
}

#[test]
fn finishing_gives_the_length_and_dropping_removes() {
    let places = Places::new();
    let target = places.target();
    let file = target.create_file(&name("longer"), 100).unwrap();
    file.write_at(10, b"mid").unwrap();
    assert_eq!(target.existing(&name("longer")).unwrap().unwrap().mode, 0o600);
    assert_fine(&file.finish(&plain(0o640), &policy()).unwrap());
    assert!(
        std::fs::metadata(places.path("target/longer")).unwrap().accessed().unwrap().elapsed().unwrap().as_secs() < 600
    );
    let content = std::fs::read(places.path("target/longer")).unwrap();
    assert_eq!((content.len(), &content[10..13]), (100, &b"mid"[..]));
    let file = target.create_file(&name("shorter"), 2).unwrap();
    file.write_at(0, b"abcdef").unwrap();
    assert_fine(&file.finish(&plain(0o640), &policy()).unwrap());
    assert_eq!(std::fs::read(places.path("target/shorter")).unwrap(), b"ab");
    drop(target.create_file(&name("new"), 2).unwrap());
    drop(target.create_file(&name("shorter"), 2).unwrap());
    assert_eq!(std::fs::read(places.path("target/shorter")).unwrap(), b"ab");
    let file = target.create_file(&name("taken over"), 2).unwrap();
    target.remove(&name("taken over")).unwrap();
    restore(&target, &name("taken over"), b"by another", &plain(0o640));
    drop(file);
    assert_eq!(std::fs::read(places.path("target/taken over")).unwrap(), b"by another");
    assert_eq!(target.names().unwrap(), ["longer", "shorter", "taken over"].map(name));
    target.sync_file_system().unwrap();
}

#[test]
fn several_threads_write_one_file() {
    let places = Places::new();
    let file = places.target().create_file(&name("file"), 8 << 16).unwrap();
    std::thread::scope(|scope| {
        for part in 0..8u8 {
            let file = &file;
            scope.spawn(move || file.write_at(u64::from(part) << 16, &[part; 1 << 16]).unwrap());
        }
    });
    assert_fine(&file.finish(&plain(0o640), &policy()).unwrap());
    let expected: Vec<u8> = (0..8u8).flat_map(|part| [part; 1 << 16]).collect();
    assert!(std::fs::read(places.path("target/file")).unwrap() == expected);
    fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<(SourceFolder, SourceFile, TargetFolder, TargetFile, OwnerPolicy)>();
}

#[test]
fn a_sparse_file_keeps_its_holes() {
    let places = Places::new();
    let mut content = vec![0; 4 << 20];
    content[1 << 20..][..5000].fill(1);
    content[3 << 20..][..3].fill(2);
    let file = places.target().create_file(&name("sparse"), content.len() as u64).unwrap();
    for (index, piece) in content.chunks(10_007).enumerate().collect::<Vec<_>>().into_iter().rev() {
        file.write_at_sparse(index as u64 * 10_007, piece).unwrap();
    }
    assert_fine(&file.finish(&plain(0o640), &policy()).unwrap());
    let source = SourceFolder::open_root(&places.path("target")).unwrap();
    let stat = source.stat(&name("sparse")).unwrap();
    assert!(stat.is_sparse());
    assert_eq!((stat.len_bytes, stat.blocks_512), (4 << 20, 3 * 8));
    assert!(read(&source, &name("sparse")) == content);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn holes_never_change_the_bytes(
        runs in proptest::collection::vec((any::<bool>(), 1..20_000usize), 0..12),
        piece in 1..30_000usize,
    ) {
        let places = Places::new();
        let content: Vec<u8> = runs.iter().flat_map(|(data, len)| std::iter::repeat_n(u8::from(*data), *len)).collect();
        let file = places.target().create_file(&name("file"), content.len() as u64).unwrap();
        for (index, bytes) in content.chunks(piece).enumerate() {
            file.write_at_sparse((index * piece) as u64, bytes).unwrap();
        }
        assert_fine(&file.finish(&plain(0o640), &policy()).unwrap());
        let stat = places.target().existing(&name("file")).unwrap().unwrap();
        let blocks = content.chunks(4096).filter(|block| block.contains(&1)).count() as u64;
        prop_assert!(stat.blocks_512 <= blocks * 8, "{} blocks for {blocks}", stat.blocks_512);
        prop_assert!(std::fs::read(places.path("target/file")).unwrap() == content);
    }
}
