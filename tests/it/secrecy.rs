//! What whoever has the storage, or this machine's cache, can read without keys: nothing of contents, names and
//! attributes, no ids of chunks, no equal data, and of sizes only steps.

use crate::support::{self, objects, threads};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vellum::format::pack::PackHeader;
use vellum::format::tree::Node;
use vellum::format::{ObjectKind, ObjectName, SealedHeader, padme_len};
use vellum::storage::MemoryStorage;
use vellum::{BackupOptions, FrameCache, KeyFile, LocalState, Repository, TreeWalk};
use vellum_testkit::Random;

/// Each is looked for as it is, in hex and in base64; nothing else in a repository looks like one.
const CANARIES: [(&str, &str); 9] = [
    ("file content", "canary-of-content-3f9c2a7d51"),
    ("file name", "canary-of-file-name-8b1e60c4f2"),
    ("folder name", "canary-of-folder-name-d75a93e10b"),
    ("link target", "canary-of-link-target-26f8b4c9a3"),
    ("attribute name", "user.canary-attribute-1c7d3e905a"),
    ("attribute value", "canary-of-attribute-value-e4a2061b7f"),
    ("host", "canary-of-host-name-590d8c3ab6"),
    ("user", "canary-of-user-name-b36e7f1420"),
    ("tag", "canary-of-a-tag-7a0c95d8e1"),
];

fn canary(what: &str) -> &'static str {
    CANARIES.iter().find(|(name, _)| *name == what).expect("one of the canaries").1
}

/// A source that is full of canaries, in short and long, compressible and incompressible surroundings.
fn build_source(root: &Path) {
    let folder = root.join(canary("folder name"));
    fs::create_dir_all(&folder).expect("a folder");
    let content = canary("file content").as_bytes();
    fs::write(folder.join("short"), content).expect("a file");
    fs::write(folder.join("repeated"), content.repeat(1_000)).expect("a file");
    let mut buried = Random::new(1).bytes(50_000);
    buried[20_000..20_000 + content.len()].copy_from_slice(content);
    fs::write(folder.join("buried"), buried).expect("a file");
    let named = folder.join(canary("file name"));
    fs::write(&named, b"x").expect("a file");
    std::os::unix::fs::symlink(canary("link target"), folder.join("link")).expect("a link");
    let (name, value) = (canary("attribute name"), canary("attribute value").as_bytes());
    match rustix::fs::setxattr(&named, name, value, rustix::fs::XattrFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
        Err(errno) => panic!("set an attribute: {errno}"),
    }
}

struct World {
    scratch: tempfile::TempDir,
    storage: Arc<MemoryStorage>,
    repository: Repository,
}

impl World {
    /// A repository with two backups of the source, the second uncompressed, and local state.
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("source");
        build_source(&source);
        std::thread::sleep(std::time::Duration::from_millis(150));
        let key = KeyFile::generate().expect("randomness");
        let storage = Arc::new(MemoryStorage::new());
        let state = LocalState::At(scratch.path().join("state"));
        let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &state);
        let world = Self { scratch, storage, repository };
        world.back_up(None);
        fs::write(source.join("more"), [canary("file content").as_bytes(), &[b'-'; 30_000]].concat()).expect("a file");
        world.back_up(Some(0));
        world
    }

    fn back_up(&self, compression_level: Option<i32>) {
        let mut options = BackupOptions::new([self.scratch.path().join("source")]);
        options.time = support::NOW;
        options.host = canary("host").as_bytes().to_vec();
        options.user = canary("user").to_owned();
        options.tags = vec![canary("tag").to_owned()];
        options.compression_level = compression_level;
        let report = vellum::backup(&self.repository, &options, &threads(1)).expect("a backup");
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    /// Everything that is stored, by what it is: names too, because a folder's listing is readable.
    fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let objects = objects(&self.storage).into_iter();
        objects.map(|(name, bytes)| (name.path(), [name.path().as_bytes(), &bytes].concat())).collect()
    }

    fn local(&self) -> Vec<(String, Vec<u8>)> {
        let files = files_below(&self.scratch.path().join("state"));
        let described = |path: PathBuf| {
            let name = path.display().to_string();
            let bytes = fs::read(&path).expect("a file");
            (name.clone(), [name.as_bytes(), &bytes].concat())
        };
        files.into_iter().map(described).collect()
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("a folder");
        match entry.file_type().expect("a kind").is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

/// The forms in which a text could stand somewhere: raw, hex, UTF-16, and base64 at each of the three alignments.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut forms = vec![text.into(), hex.to_uppercase().into(), hex.into(), wide, text.bytes().rev().collect()];
    for shift in 0..3 {
        // Whole groups of three only: what stands before and after would change the others.
        let inner = &text.as_bytes()[shift..];
        forms.push(base64(&inner[..inner.len() / 3 * 3]));
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| DIGITS[bits >> shift & 63])
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn assert_no_canary(places: &[(String, Vec<u8>)]) {
    assert!(!places.is_empty(), "there is something to look through");
    for (what, text) in CANARIES {
        for form in forms(text) {
            for (place, bytes) in places {
                let form = &form[..form.len().min(24)];
                assert!(!contains(bytes, form), "the {what} can be read in {place}: {}", form.escape_ascii());
            }
        }
    }
}

#[test]
fn nothing_of_the_source_can_be_read_in_the_repository() {
    assert_no_canary(&World::new().stored());
}

#[test]
fn nothing_of_the_source_can_be_read_in_local_state() {
    let world = World::new();
    let local = world.local();
    assert!(local.len() >= 3, "index, database and file cache: {:?}", local.iter().map(|(name, _)| name));
    assert_no_canary(&local);
}

/// The search finds what is there, in each form.
#[test]
fn a_canary_in_the_clear_would_be_found() {
    let text = canary("host");
    assert_eq!(base64(b"Man is"), b"TWFuIGlz");
    for (number, form) in forms(text).into_iter().enumerate() {
        let place = [b"before ", &form[..], b" after"].concat();
        let found = std::panic::catch_unwind(|| assert_no_canary(&[("place".to_owned(), place)]));
        assert!(found.is_err(), "form {number} goes unseen");
    }
}

/// A chunk's id and digest: ids are in sealed directories, digests only in sealed trees.
#[test]
fn no_chunk_id_stands_in_the_clear() {
    let world = World::new();
    let repository = &world.repository;
    repository.refresh().expect("memory");
    let mut secrets: BTreeSet<[u8; 16]> = BTreeSet::new();
    for snapshot in repository.snapshots().expect("memory").snapshots {
        let root = snapshot.manifest.root.content().expect("an undamaged snapshot");
        let mut contents = vec![root.clone()];
        for step in TreeWalk::new(repository, &FrameCache::new(16), &root) {
            if let Node::File { content, .. } | Node::Folder { content } = step.expect("an undamaged tree").entry.node {
                contents.push(content);
            }
        }
        for chunk in contents.iter().flat_map(|content| &content.chunks) {
            let id = repository.chunk_id(chunk);
            let digest = chunk.digest.as_bytes();
            for half in [&id.as_bytes()[..16], &id.as_bytes()[16..], &digest[..16], &digest[16..]] {
                secrets.insert(half.try_into().expect("half of 32 bytes"));
            }
        }
    }
    assert!(secrets.len() > 20, "the source has several chunks");
    for (place, bytes) in world.stored() {
        let seen = bytes.windows(16).find(|window| secrets.contains(*window));
        assert!(seen.is_none(), "an id or digest of a chunk stands in {place}: {seen:?}");
    }
    let planted = [&[7; 5], &secrets.first().expect("there are some")[..], &[7; 5]].concat();
    assert!(planted.windows(16).any(|window| secrets.contains(window)), "the search finds what is there");
}

/// Full packs are equal in length, all others stand on Padmé's steps: lengths tell little of what is inside.
#[test]
fn lengths_of_objects_are_steps() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let key = KeyFile::generate().expect("randomness");
    let storage = Arc::new(MemoryStorage::new());
    let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
    let mut random = Random::new(7);
    for round in 0..3 {
        for number in 0..4 {
            let len_bytes = 300_000 + random.below(700_000);
            fs::write(scratch.path().join(format!("{round}-{number}")), random.bytes(len_bytes)).expect("a file");
        }
        support::backup(&repository, scratch.path());
    }
    let full_len_bytes = u64::from(repository.config().pack_len_bytes);
    let (mut full_count, mut part_count) = (0, 0);
    for (name, bytes) in objects(&*storage) {
        let len_bytes = match name.kind {
            ObjectKind::Pack => body_len_bytes(&bytes),
            _ => bytes.len() as u64,
        };
        match name.kind {
            ObjectKind::Pack if len_bytes == full_len_bytes => full_count += 1,
            ObjectKind::Pack | ObjectKind::Catalog | ObjectKind::Snapshot => {
                part_count += 1;
                assert_eq!(padme_len(len_bytes), len_bytes, "the length of {name} is no step");
                assert!(len_bytes < full_len_bytes, "{name} is longer than a full pack");
            }
            _ => {}
        }
    }
    assert!(full_count >= 4 && part_count >= 6, "{full_count} full packs and {part_count} other objects");
}

/// The length that a pack's parity, and so its object's length, follows from.
fn body_len_bytes(pack: &[u8]) -> u64 {
    let header = PackHeader::decode(&pack[..PackHeader::ENCODED_LEN], pack.len() as u64).expect("an undamaged pack");
    header.body_len_bytes
}

/// What is sealed of an object, without its clear header and without parity, which is a function of the rest.
fn sealed(name: &ObjectName, bytes: &[u8]) -> Option<Vec<u8>> {
    let range = match name.kind {
        ObjectKind::Pack => PackHeader::ENCODED_LEN..usize::try_from(body_len_bytes(bytes)).expect("a small pack"),
        ObjectKind::Catalog | ObjectKind::Snapshot => SealedHeader::ENCODED_LEN..bytes.len(),
        _ => return None,
    };
    Some(bytes[range].to_vec())
}

#[test]
fn equal_data_shows_neither_between_repositories_nor_inside_one() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let source = scratch.path().join("source");
    build_source(&source);
    fs::write(source.join("zeros"), vec![0; 200_000]).expect("a file");
    fs::write(source.join("random"), Random::new(3).bytes(200_000)).expect("a file");
    // One key file and one source: only what each repository made for itself can tell them apart.
    let key = KeyFile::generate().expect("randomness");
    let of_each = [0, 1].map(|_| {
        let storage = Arc::new(MemoryStorage::new());
        let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
        for level in [None, Some(0)] {
            let mut options = BackupOptions::new([source.clone()]);
            options.compression_level = level;
            vellum::backup(&repository, &options, &threads(1)).expect("a backup");
        }
        objects(&*storage).iter().filter_map(|(name, bytes)| sealed(name, bytes)).collect::<Vec<_>>()
    });
    let mut blocks: HashSet<&[u8]> = HashSet::new();
    for bytes in &of_each[0] {
        for block in bytes.chunks_exact(16) {
            assert!(blocks.insert(block), "one repository stores a block of 16 bytes twice: {block:02x?}");
        }
    }
    assert!(blocks.len() > 10_000, "there is something to compare");
    for bytes in &of_each[1] {
        let shared = bytes.windows(16).find(|window| blocks.contains(window));
        assert!(shared.is_none(), "equal data in two repositories shares a block of 16 bytes: {shared:02x?}");
    }
}

/// The same file saved twice by two repositories of one owner has other chunk ids in each, so that neither list of
/// ids says anything about the other.
#[test]
fn chunk_ids_of_equal_data_differ_between_repositories() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    fs::write(scratch.path().join("file"), Random::new(5).bytes(3_000)).expect("a file");
    let key = KeyFile::generate().expect("randomness");
    let of_each: Vec<HashSet<Vec<u8>>> = (0..2)
        .map(|_| {
            let repository = support::create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
            support::backup(&repository, scratch.path());
            repository.refresh().expect("memory");
            let snapshot = repository.snapshots().expect("memory").snapshots.remove(0);
            let cache = FrameCache::new(4);
            let path = scratch.path().join("file");
            let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
            let entry = vellum::open_path(&repository, &cache, &snapshot, path).expect("a path").expect("an entry");
            let Node::File { content, .. } = entry.node else { panic!("it is a file") };
            let ids = content
                .chunks
                .iter()
                .flat_map(|chunk| [repository.chunk_id(chunk).as_bytes().to_vec(), chunk.digest.as_bytes().to_vec()]);
            ids.collect()
        })
        .collect();
    assert!(of_each[0].len() >= 2 && of_each[0].is_disjoint(&of_each[1]), "two repositories name equal data alike");
}
