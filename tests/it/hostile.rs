//! P9: whatever a snapshot says and whatever lies in the target, a restore writes nothing outside of it and ends.

use crate::support::{self, threads};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vellum::format::Digest;
use vellum::format::content::{ChunkKind, ChunkRef, Content};
use vellum::format::limits::PATH_LEN_BYTES_MAX;
use vellum::format::snapshot::{Summary, Timestamp};
use vellum::format::tree::{LinkGroup, Metadata, Node};
use vellum::storage::MemoryStorage;
use vellum::{
    FrameCache, KeyFile, LocalState, Overwrite, Repository, RestoreOptions, RestoreReport, SessionOptions,
    SnapshotDraft, SnapshotRef, TreeWalk,
};
use vellum_testkit::entries::{entry, entry_with, metadata};
use vellum_testkit::trees::{Manifest, assert_same_tree, differences, manifest};

/// A snapshot of a small source, a target to restore it to, and an outside that nobody may touch.
struct World {
    scratch: tempfile::TempDir,
    repository: Repository,
    outside: Manifest,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("source");
        fs::create_dir_all(source.join("folder/deep")).expect("a folder");
        for (path, content) in [("file", "one"), ("folder/file", "two"), ("folder/deep/file", "three"), ("empty", "")] {
            fs::write(source.join(path), content).expect("a file");
        }
        symlink("file", source.join("link")).expect("a link");
        fs::hard_link(source.join("file"), source.join("folder/hard")).expect("a link");
        let outside = scratch.path().join("outside");
        fs::create_dir_all(outside.join("folder/deep")).expect("a folder");
        for path in ["file", "folder/file", "folder/deep/file"] {
            fs::write(outside.join(path), "precious").expect("a file");
        }
        let key = KeyFile::generate().expect("randomness");
        let repository = support::create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
        support::backup(&repository, &source);
        let outside = manifest(&outside);
        Self { scratch, repository, outside }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.scratch.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.scratch.path().join("outside")
    }

    fn options(&self) -> RestoreOptions {
        let mut options = RestoreOptions::default();
        options.subfolder = Some(self.source().as_os_str().as_bytes().to_vec());
        options
    }

    fn restore(&self, options: &RestoreOptions) -> RestoreReport {
        let latest = SnapshotRef::Latest(0);
        vellum::restore(&self.repository, &latest, &self.target(), options, &threads(2)).expect("a restore")
    }

    fn assert_outside_untouched(&self, case: &str) {
        let changes = differences(&self.outside, &manifest(&self.outside()));
        assert!(changes.is_empty(), "{case}: a restore changed something outside its target: {changes:?}");
    }
}

/// What may stand in the way of a restored entry.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    LinkToFile,
    LinkToFolder,
    DanglingLink,
    LinkToItself,
    HardLinkToOutside,
    Fifo,
    File,
    EmptyFolder,
    FullFolder,
}

const OBSTACLES: [Obstacle; 9] = [
    Obstacle::LinkToFile,
    Obstacle::LinkToFolder,
    Obstacle::DanglingLink,
    Obstacle::LinkToItself,
    Obstacle::HardLinkToOutside,
    Obstacle::Fifo,
    Obstacle::File,
    Obstacle::EmptyFolder,
    Obstacle::FullFolder,
];

impl Obstacle {
    fn put(self, path: &Path, outside: &Path) {
        fs::create_dir_all(path.parent().expect("below the target")).expect("a folder");
        match self {
            Self::LinkToFile => symlink(outside.join("file"), path),
            Self::LinkToFolder => symlink(outside.join("folder"), path),
            Self::DanglingLink => symlink(outside.join("new"), path),
            Self::LinkToItself => symlink(path.file_name().expect("a name"), path),
            Self::HardLinkToOutside => fs::hard_link(outside.join("file"), path),
            Self::Fifo => {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                let made = rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0);
                made.map_err(Into::into)
            }
            Self::File => fs::write(path, "in the way"),
            Self::EmptyFolder => fs::create_dir(path),
            Self::FullFolder => fs::create_dir(path).and_then(|()| fs::write(path.join("kept"), "kept")),
        }
        .expect("an obstacle");
    }
}

#[test]
fn whatever_stands_in_the_way_nothing_outside_is_touched() {
    for place in ["file", "empty", "link", "folder", "folder/deep", "folder/file", "folder/hard", "folder/deep/file"] {
        for obstacle in OBSTACLES {
            let world = World::new();
            let case = format!("{obstacle:?} at {place}");
            obstacle.put(&world.target().join(place), &world.outside());
            let mut options = world.options();
            options.verify = true;
            let report = world.restore(&options);
            world.assert_outside_untouched(&case);
            let is_folder = ["folder", "folder/deep"].contains(&place);
            match obstacle {
                // Only an empty folder gives way to a file; what is in a full one is kept, and that is told.
                Obstacle::FullFolder if !is_folder => {
                    let problems = report.problems;
                    let is_told = problems.iter().any(|problem| problem.path.ends_with(place.as_bytes()));
                    assert!(is_told, "{case}: what could not be restored must be told: {problems:?}");
                    let kept = fs::read(world.target().join(place).join("kept"));
                    assert_eq!(kept.ok(), Some(b"kept".to_vec()), "{case}: a full folder is kept");
                }
                Obstacle::FullFolder => {
                    assert!(report.problems.is_empty(), "{case}: {:?}", report.problems);
                    fs::remove_file(world.target().join(place).join("kept")).expect("what was there is kept");
                }
                _ => {
                    assert!(report.problems.is_empty(), "{case}: {:?}", report.problems);
                    assert_same_tree(&world.source(), &world.target());
                }
            }
        }
    }
}

/// Every way to overwrite, delete and save space goes through the same doors.
#[test]
fn no_option_opens_a_way_out() {
    for overwrite in [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never] {
        for delete in [false, true] {
            for sparse in [false, true] {
                let world = World::new();
                for (place, obstacle) in [
                    ("file", Obstacle::HardLinkToOutside),
                    ("empty", Obstacle::LinkToFile),
                    ("folder", Obstacle::LinkToFolder),
                    ("link", Obstacle::LinkToFolder),
                    ("more", Obstacle::LinkToFolder),
                    ("more-files", Obstacle::FullFolder),
                ] {
                    obstacle.put(&world.target().join(place), &world.outside());
                }
                symlink(world.outside(), world.target().join("more-files/way-out")).expect("a link");
                let mut options = world.options();
                (options.overwrite, options.delete, options.sparse) = (overwrite, delete, sparse);
                let case = format!("{overwrite:?}, delete: {delete}, sparse: {sparse}");
                let report = world.restore(&options);
                world.assert_outside_untouched(&case);
                if delete && overwrite == Overwrite::Always {
                    assert!(report.problems.is_empty(), "{case}: {:?}", report.problems);
                    assert_same_tree(&world.source(), &world.target());
                }
                if overwrite == Overwrite::Never {
                    let kept = fs::read_link(world.target().join("empty")).ok();
                    assert_eq!(kept, Some(world.outside().join("file")), "{case}: what is there is kept");
                }
            }
        }
    }
}

#[test]
fn a_second_restore_over_the_first_changes_nothing_but_time() {
    let world = World::new();
    let options = world.options();
    let first = world.restore(&options);
    // A file that is hard-linked from outside after the first restore is still never written in place.
    let inside = world.target().join("folder/file");
    let witness = world.scratch.path().join("witness");
    fs::hard_link(&inside, &witness).expect("a link");
    fs::write(&witness, "changed").expect("a file");
    let second = world.restore(&options);
    assert!(first.problems.is_empty() && second.problems.is_empty(), "{first:?} {second:?}");
    assert_same_tree(&world.source(), &world.target());
    assert_eq!(fs::read(&witness).ok(), Some(b"changed".to_vec()), "another name of a restored file was written to");
    assert_eq!((first.files, first.bytes), (second.files, second.bytes), "the same is restored");
}

#[test]
fn files_that_are_unchanged_are_left_alone_when_asked_to() {
    let world = World::new();
    let mut options = world.options();
    world.restore(&options);
    let inode = |path: &str| fs::metadata(world.target().join(path)).expect("it was restored").ino();
    let before = [inode("folder/deep/file"), inode("empty")];
    options.overwrite = Overwrite::IfChanged;
    let report = world.restore(&options);
    assert!(report.skipped >= 3 && report.problems.is_empty(), "{report:?}");
    assert_eq!([inode("folder/deep/file"), inode("empty")], before, "unchanged files are not replaced");
    assert_same_tree(&world.source(), &world.target());
}

/// Who names a link as the target means what it points to; nothing else outside is touched.
#[test]
fn a_target_that_is_a_link_is_the_folder_behind_it() {
    let world = World::new();
    let behind = world.scratch.path().join("behind");
    fs::create_dir(&behind).expect("a folder");
    symlink(&behind, world.target()).expect("a link");
    let report = world.restore(&world.options());
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_same_tree(&world.source(), &behind);
    assert!(fs::symlink_metadata(world.target()).expect("the link").is_symlink(), "the link itself stays");
    world.assert_outside_untouched("a target that is a link");
}

#[test]
fn a_target_that_is_a_file_or_leads_nowhere_is_refused() {
    let world = World::new();
    fs::write(world.target(), "a file").expect("a file");
    let refused = |target: &Path| {
        let done = vellum::restore(&world.repository, &SnapshotRef::Latest(0), target, &world.options(), &threads(1));
        assert!(matches!(done, Err(vellum::Error::Target { .. })), "{}: {done:?}", target.display());
    };
    refused(&world.target());
    refused(&world.target().join("below"));
    assert_eq!(fs::read(world.target()).ok(), Some(b"a file".to_vec()), "a file in the target's place is kept");
    let loop_path = world.scratch.path().join("loop");
    symlink(&loop_path, &loop_path).expect("a link");
    refused(&loop_path);
}

/// Writes snapshots that no backup writes.
struct Evil<'a> {
    repository: &'a Repository,
}

impl Evil<'_> {
    /// Publishes a snapshot whose root folder lists these bytes; `tree` may store more chunks.
    fn publish(&self, tree: impl FnOnce(&mut dyn FnMut(ChunkKind, &[u8]) -> Content) -> Vec<u8>) {
        let session = self.repository.begin(&SessionOptions::default()).expect("a session");
        let mut writer = session.frame_writer().expect("a writer");
        let mut put = |kind, bytes: &[u8]| {
            let put = writer.put(kind, bytes).expect("memory");
            Content { depth: 0, chunks: vec![put.chunk] }
        };
        let root = tree(&mut put);
        let root = put(ChunkKind::Tree, &root);
        writer.flush().expect("memory");
        drop(writer);
        let draft = SnapshotDraft {
            time: Timestamp { seconds: support::NOW.seconds + 1, nanoseconds: 0 },
            host: Vec::new(),
            user: String::new(),
            paths: vec![b"/".to_vec()],
            tags: Vec::new(),
            root,
            summary: Summary::default(),
            program: "evil".to_owned(),
        };
        session.seal().expect("memory").publish(draft).expect("memory");
        self.repository.refresh().expect("memory");
    }
}

/// Restores the evil snapshot whole into the target, beside an outside that its names aim at.
fn restore_evil(world: &World, case: &str) -> Result<RestoreReport, vellum::Error> {
    let options = RestoreOptions::default();
    let done = vellum::restore(&world.repository, &SnapshotRef::Latest(0), &world.target(), &options, &threads(2));
    world.assert_outside_untouched(case);
    let mut names: Vec<_> = fs::read_dir(world.scratch.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.retain(|name| name != "target");
    assert_eq!(names, ["outside", "source"], "{case}: something appeared beside the target");
    done
}

fn is_refused(done: &Result<RestoreReport, vellum::Error>) -> bool {
    done.as_ref().map_or(true, |report| !report.problems.is_empty())
}

#[test]
fn different_files_of_one_inode_are_not_linked() {
    let world = World::new();
    let evil = Evil { repository: &world.repository };
    evil.publish(|put| {
        let mut bytes = Vec::new();
        for (name, text) in [("a", "one"), ("b", "two"), ("c", "one")] {
            let content = put(ChunkKind::Data, text.as_bytes());
            let node = Node::File { len_bytes: text.len() as u64, content, sparse: false };
            let link_group = Some(LinkGroup { device: 1, inode: 1 });
            bytes.extend(entry_with(name.as_bytes(), node, Metadata { link_group, ..metadata() }));
        }
        bytes
    });
    let report = restore_evil(&world, "one inode for two files").expect("a restore");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.files, report.others), (2, 1), "a further name is no file");
    let read = |name: &str| fs::read(world.target().join(name)).expect("a restored file");
    assert_eq!([read("a"), read("b"), read("c")], [b"one".to_vec(), b"two".to_vec(), b"one".to_vec()]);
    let inode = |name: &str| fs::metadata(world.target().join(name)).expect("a restored file").ino();
    assert!(inode("a") == inode("c") && inode("a") != inode("b"), "equal names of one inode are one file");
}

#[test]
fn a_name_is_not_linked_to_what_stands_where_its_file_could_not_be_restored() {
    let world = World::new();
    Evil { repository: &world.repository }.publish(|_| {
        let chunk = ChunkRef { digest: Digest::from_bytes([7; 32]), len_bytes: 4 };
        let node = Node::File { len_bytes: 4, content: Content { depth: 0, chunks: vec![chunk] }, sparse: false };
        let link_group = Some(LinkGroup { device: 1, inode: 1 });
        let name = |name| entry_with(name, node.clone(), Metadata { link_group, ..metadata() });
        [name(&b"a"[..]), name(b"b")].concat()
    });
    fs::create_dir(world.target()).expect("a folder");
    fs::write(world.target().join("a"), "older").expect("a file");
    let report = restore_evil(&world, "two names of a file that is lost").expect("a restore");
    let told: Vec<_> = report.problems.iter().map(|problem| (&problem.path[..], problem.doing)).collect();
    assert_eq!(told, [(&b"/a"[..], "read"), (b"/b", "read")]);
    assert_eq!((report.files, report.others, report.unreadable_count), (0, 0, 2));
    assert_eq!(fs::read(world.target().join("a")).expect("what stood there"), b"older");
    assert!(!world.target().join("b").exists(), "it would have the bytes of another file");
}

#[test]
fn names_that_lead_out_of_a_folder_are_refused() {
    // A name of equal length that is plain, and what its bytes become.
    for (plain, evil) in [
        (&b"QQ"[..], &b".."[..]),
        (b"Q", b"."),
        (b"Q", b"/"),
        (b"QQQQQQQQQQ", b"../outside"),
        (b"QQQ", b"a/b"),
        (b"QQQ", b"/ab"),
        (b"QQQ", b"a\0b"),
    ] {
        let case = evil.escape_ascii().to_string();
        for node in [
            |put: &mut dyn FnMut(ChunkKind, &[u8]) -> Content| Node::File {
                len_bytes: 4,
                content: put(ChunkKind::Data, b"evil"),
                sparse: false,
            },
            |put: &mut dyn FnMut(ChunkKind, &[u8]) -> Content| Node::Folder {
                content: put(ChunkKind::Tree, &entry(b"file", Node::Fifo)),
            },
            |_: &mut dyn FnMut(ChunkKind, &[u8]) -> Content| Node::Symlink { target: b"/".to_vec() },
        ] {
            let world = World::new();
            Evil { repository: &world.repository }.publish(|put| {
                let mut tree = entry(plain, node(put));
                let at = tree.windows(plain.len()).position(|window| window == plain).expect("the name is in it");
                tree[at..at + evil.len()].copy_from_slice(evil);
                tree
            });
            let done = restore_evil(&world, &case);
            assert!(is_refused(&done), "{case}: a name that no folder can hold is restored without a problem");
        }
    }
}

/// The classic: a link, then a folder or a file of the same name that would be written through it.
#[test]
fn a_name_that_comes_twice_is_refused() {
    let aims = [b"../outside".to_vec(), b"../outside/folder".to_vec(), b"../outside/file".to_vec()];
    for aim in aims {
        let world = World::new();
        Evil { repository: &world.repository }.publish(|put| {
            let link = entry(b"folder", Node::Symlink { target: aim.clone() });
            let content = put(ChunkKind::Data, b"evil");
            let file = entry(b"file", Node::File { len_bytes: 4, content, sparse: false });
            let folder = entry(b"folder", Node::Folder { content: put(ChunkKind::Tree, &file) });
            [link, folder].concat()
        });
        let done = restore_evil(&world, &aim.escape_ascii().to_string());
        assert!(is_refused(&done), "a folder that lists a name twice is restored without a problem");
    }
}

/// The same over two snapshots: the first leaves a link, the second goes through it, if it may.
#[test]
fn a_link_from_an_earlier_restore_is_no_way_out() {
    let world = World::new();
    Evil { repository: &world.repository }
        .publish(|_| entry(b"folder", Node::Symlink { target: b"../outside/folder".to_vec() }));
    let first = restore_evil(&world, "the link");
    assert!(!is_refused(&first), "a link that points outside is only a link: {first:?}");
    Evil { repository: &world.repository }.publish(|put| {
        let content = put(ChunkKind::Data, b"evil");
        let file = entry(b"file", Node::File { len_bytes: 4, content, sparse: false });
        entry(b"folder", Node::Folder { content: put(ChunkKind::Tree, &file) })
    });
    let second = vellum::restore(
        &world.repository,
        &SnapshotRef::Id(newest_id(&world.repository)),
        &world.target(),
        &RestoreOptions::default(),
        &threads(1),
    );
    world.assert_outside_untouched("a folder over a link");
    assert!(!is_refused(&second), "a folder takes the link's place: {second:?}");
    assert_eq!(fs::read(world.target().join("folder/file")).ok(), Some(b"evil".to_vec()), "in the target");
}

/// Both evil snapshots have one time; the later has the higher sequence, which no reference names.
fn newest_id(repository: &Repository) -> String {
    let snapshots = repository.snapshots().expect("memory").snapshots;
    let newest = snapshots.iter().rfind(|one| one.manifest.program == "evil");
    newest.expect("two evil snapshots").id.to_string()
}

#[test]
fn lengths_kinds_and_lists_that_lie_are_told() {
    type Lie = fn(&mut dyn FnMut(ChunkKind, &[u8]) -> Content) -> Vec<u8>;
    let lies: [(&str, Lie); 11] = [
        ("a reference with another length than its chunk", |put| {
            let mut content = put(ChunkKind::Data, b"evil");
            content.chunks[0].len_bytes = 3;
            entry(b"file", Node::File { len_bytes: 3, content, sparse: false })
        }),
        ("a file longer than its chunks", |put| {
            let content = put(ChunkKind::Data, b"evil");
            entry(b"file", Node::File { len_bytes: 1 << 62, content, sparse: true })
        }),
        ("a file shorter than its chunks", |put| {
            let content = put(ChunkKind::Data, b"evil");
            entry(b"file", Node::File { len_bytes: 1, content, sparse: false })
        }),
        ("a file that has all its bytes and more chunks", |put| {
            let mut content = put(ChunkKind::Data, b"evil");
            content.chunks.extend(put(ChunkKind::Data, b"more").chunks);
            entry(b"file", Node::File { len_bytes: 4, content, sparse: false })
        }),
        ("a file that has a chunk too few", |put| {
            let content = put(ChunkKind::Data, b"evil");
            entry(b"file", Node::File { len_bytes: 5, content, sparse: false })
        }),
        ("a file with a length and no chunks", |_| {
            entry(b"file", Node::File { len_bytes: 4, content: Content::empty(), sparse: false })
        }),
        ("a file made of a folder's list", |put| {
            let list = entry(b"file", Node::Fifo);
            let content = put(ChunkKind::Tree, &list);
            entry(b"file", Node::File { len_bytes: list.len() as u64, content, sparse: false })
        }),
        ("a folder made of a file", |put| {
            let list = entry(b"file", Node::Fifo);
            let content = put(ChunkKind::Data, &list);
            entry(b"folder", Node::Folder { content })
        }),
        ("a list of chunks that is none", |put| {
            let mut content = put(ChunkKind::List, b"not a list of references");
            content.depth = 1;
            entry(b"file", Node::File { len_bytes: 24, content, sparse: false })
        }),
        ("a list of chunks where the chunk lies", |put| {
            let mut content = put(ChunkKind::Data, b"evil");
            content.depth = 3;
            entry(b"file", Node::File { len_bytes: 4, content, sparse: false })
        }),
        ("names that do not ascend", |put| {
            let content = put(ChunkKind::Data, b"evil");
            let file = |name| entry(name, Node::File { len_bytes: 4, content: content.clone(), sparse: false });
            [file(b"b"), file(b"a")].concat()
        }),
    ];
    let mut unseen = Vec::new();
    for (case, lie) in lies {
        let world = World::new();
        Evil { repository: &world.repository }.publish(lie);
        let done = restore_evil(&world, case);
        assert!(is_refused(&done), "{case} is restored without a problem: {done:?}");
        assert!(!world.target().join("file").exists(), "{case}: a file that is not what it says is not left behind");
        let report = support::try_check(&world.repository, &threads(1)).expect("a check");
        if report.finding_count == 0 {
            unseen.push(case);
        }
        let snapshots = world.repository.snapshots().expect("memory").snapshots;
        let undamaged = snapshots.iter().find(|one| one.manifest.program != "evil").expect("the first backup");
        let id = SnapshotRef::Id(undamaged.id.to_string());
        let target = world.scratch.path().join("undamaged");
        let restored = support::restore(&world.repository, &id, &world.source(), &target);
        assert!(restored.problems.is_empty(), "{case}: it costs another snapshot: {:?}", restored.problems);
        assert_same_tree(&world.source(), &target);
    }
    assert!(unseen.is_empty(), "what cannot be restored passes a check of all data: {unseen:?}");
}

/// A small repository that would restore to very much: walking it is streaming, and names it for what it is.
#[test]
fn a_folder_that_is_too_deep_is_as_it_was_but_for_what_is_in_it() {
    const LEVELS: usize = PATH_LEN_BYTES_MAX / 256;
    let world = World::new();
    Evil { repository: &world.repository }.publish(|put| {
        let file = Node::File { len_bytes: 4, content: put(ChunkKind::Data, b"evil"), sparse: false };
        let content = put(ChunkKind::Tree, &entry(b"file", file));
        let mode = || Metadata { mode: 0o751, ..metadata() };
        let mut list = entry_with(b"x", Node::Folder { content }, mode());
        for _ in 0..LEVELS {
            let content = put(ChunkKind::Tree, &list);
            list = entry(&[b'd'; 255], Node::Folder { content });
        }
        list
    });
    fs::create_dir_all(world.target().join("x")).expect("a folder");
    fs::write(world.target().join("x/found"), b"found").expect("a file");
    let mut options = RestoreOptions::default();
    (options.subfolder, options.delete) = (Some([&b"/"[..], &[b'd'; 255]].concat().repeat(LEVELS)), true);
    let report = world.restore(&options);
    let told: Vec<_> = report.problems.iter().map(|problem| problem.doing).collect();
    assert_eq!((told, report.unreadable_count, report.deleted), (vec!["enter"], 1, 0));
    let names = fs::read_dir(world.target().join("x")).expect("a folder").map(|one| one.expect("an entry").file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["found"]);
    let mode = fs::metadata(world.target().join("x")).expect("a folder").mode();
    assert_eq!(mode & 0o7777, 0o751);
}

#[test]
fn a_wide_tree_of_one_repeated_folder_is_walked_step_by_step() {
    let world = World::new();
    Evil { repository: &world.repository }.publish(|put| {
        let content = put(ChunkKind::Data, b"evil");
        let mut list = entry(b"file", Node::File { len_bytes: 4, content, sparse: false });
        for _ in 0..30 {
            let content = put(ChunkKind::Tree, &list);
            let folder = |name: &[u8]| entry(name, Node::Folder { content: content.clone() });
            list = [folder(b"a"), folder(b"b")].concat();
        }
        list
    });
    let newest = world.repository.snapshots().expect("memory").snapshots.pop().expect("a snapshot");
    let root = newest.manifest.root.content().expect("a valid snapshot");
    let cache = FrameCache::new(4);
    let steps = TreeWalk::new(&world.repository, &cache, &root).take(10_000);
    assert_eq!(steps.filter(Result::is_ok).count(), 10_000, "a billion folders are walked one by one");
    // Equal folders are looked at once, so a check of two to the thirty folders ends.
    let report = support::try_check(&world.repository, &threads(1)).expect("a check");
    assert_eq!(report.findings, [], "it is well formed");
    assert!(report.folders < 100, "{} folders", report.folders);
}

#[test]
fn what_a_target_does_not_take_is_told_for_what_it_is() {
    let world = World::new();
    Evil { repository: &world.repository }.publish(|put| {
        let content = put(ChunkKind::Data, b"evil");
        let file = |len_bytes| Node::File { len_bytes, content: content.clone(), sparse: false };
        let xattrs = vec![(b"nowhere.known".to_vec(), b"value".to_vec())];
        let folder = Node::Folder { content: put(ChunkKind::Tree, &entry(b"file", file(4))) };
        let marked = entry_with(b"marked", file(4), Metadata { xattrs, ..metadata() });
        [entry(b"folder", folder), entry(b"long", file(1 << 60)), marked].concat()
    });
    let told = |target: &Path, problems: &[vellum::Problem]| -> Vec<(String, &str)> {
        let target = target.display().to_string();
        let below = |path: &[u8]| path.escape_ascii().to_string().strip_prefix(&target).map(str::to_owned);
        problems.iter().map(|one| (below(&one.path).expect("it is in the target"), one.doing)).collect()
    };
    let restore = |target: &Path| {
        let (latest, options) = (SnapshotRef::Latest(0), RestoreOptions::default());
        vellum::restore(&world.repository, &latest, target, &options, &threads(1)).expect("one entry after the other")
    };
    // Not every file system knows how much is free.
    let memory = support::memory_folder();
    let report = restore(memory.path());
    assert_eq!(told(memory.path(), &report.problems), [("/long".to_owned(), "write")], "there is no room for it");
    assert_eq!(told(memory.path(), &report.metadata_problems), [("/marked".to_owned(), "set metadata")]);
    assert_eq!((report.problem_count, report.metadata_problem_count, report.files), (1, 1, 2));

    // Nobody makes folders there, not even root.
    let target = Path::new("/proc/self/task");
    let mut told = told(target, &restore(target).problems);
    told.retain(|(path, _)| path.starts_with("/folder"));
    assert_eq!(told, [("/folder".to_owned(), "make the folder")], "and not again for what is in it");
}
