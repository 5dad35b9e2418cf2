//! One fixed value of everything that format version 1 stores, and its bytes.

use std::fmt::Write as _;
use vellum::format::catalog::{self, Catalog, CatalogedPack};
use vellum::format::content::{ChunkKind, ChunkRef, Content};
use vellum::format::deletion::{CondemnedRecord, FenceRecord, Intent, ProcessMark};
use vellum::format::history::SignedRecord;
use vellum::format::key_manifest::{Argon2idParameters, KeyManifest, SealedRing, SignedKeyManifest, Slot, SlotHeader};
use vellum::format::pack::{Compression, Directory, Frame, KeyWrap, PackHeader, PackTrailer, PackedChunk};
use vellum::format::parity::{Parity, ParityLayout, ParityTable};
use vellum::format::repository_config::{ChunkerConfig, ClassConfig, RepositoryConfig};
use vellum::format::snapshot::{self, DeviceCertificate, Root, SnapshotManifest, Summary, Timestamp};
use vellum::format::tombstone::{self, TombstoneManifest};
use vellum::format::tree::{Entry, EntryName, LinkGroup, Metadata, Node};
use vellum::format::verification::{CheckRun, PackReading, Reach, Verification};
use vellum::format::{
    Bytes, ChunkId, DeviceId, Digest, FixedBytes, ObjectId, ObjectKind, ObjectName, RepositoryId, SealedHeader,
    padme_len,
};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([0xA1; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([0xA2; 16]);
const CREATED: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 123_456_789 };

const HEADING: &str = "\
# The bytes of fixed values, in hex: STRUCTURE/VALUE BYTES. tests/it/golden/encodings.rs has the values.
# Frozen with format version 1. A difference is a new version, never an edit; see ../../README.md.
";

type Encodings = Vec<(String, Vec<u8>)>;

/// The content of `encodings.txt`, each line checked to decode to the value that it came from.
pub(crate) fn text() -> String {
    let mut text = HEADING.to_owned();
    let groups = [
        names(),
        packs(),
        catalogs(),
        contents(),
        trees(),
        snapshots(),
        tombstones(),
        deletion(),
        verifications(),
        configs(),
        key_manifests(),
    ];
    for (name, bytes) in groups.into_iter().flatten() {
        write!(text, "{name} ").expect("writing to a string does not fail");
        bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("writing to a string does not fail"));
        text.push('\n');
    }
    text
}

fn names() -> Encodings {
    let id = ObjectId::of(b"golden");
    let path = |kind: ObjectKind| {
        let path = ObjectName::new(kind, id).path();
        assert_eq!(ObjectName::from_path(&path), Ok(ObjectName::new(kind, id)));
        (format!("object_name/{}", kind.noun().replace(' ', "-")), path.into_bytes())
    };
    let padded = |len: u64| (format!("padme_len/{len}"), padme_len(len).to_le_bytes().to_vec());
    let lens = [0, 4096, 4097, 65_537, 1_000_000, 33_554_433, 1 << 40];
    ObjectKind::ALL.into_iter().map(path).chain(lens.map(padded)).collect()
}

fn packed(byte: u8, len_bytes: u32) -> PackedChunk {
    PackedChunk { id: ChunkId::from_bytes([byte; 32]), len_bytes }
}

fn directory() -> Directory {
    let frame = |offset, kind, compression, chunks| Frame {
        offset,
        stored_len_bytes: 5_000,
        wrap: 1,
        kind,
        compression,
        salt: [0xB1; 16],
        chunks,
    };
    Directory {
        wraps: vec![
            KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![0xB2; 112] },
            KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![0xB3; 112] },
        ],
        frames: vec![
            frame(80, ChunkKind::Data, Compression::Zstd, vec![packed(1, 70_000), packed(2, 1)]),
            frame(5_080, ChunkKind::Tree, Compression::None, vec![packed(3, 4_960)]),
            frame(10_080, ChunkKind::List, Compression::Zstd, vec![packed(4, 36)]),
        ],
    }
}

fn packs() -> Encodings {
    let header =
        PackHeader { parity: Parity::None, epoch: 7, scope: REPOSITORY, salt: [0xB4; 32], body_len_bytes: 20_480 };
    let header_bytes = header.encode().to_vec();
    assert_eq!(PackHeader::decode(&header_bytes, 20_480), Ok(header));
    let trailer = PackTrailer { directory_offset: 15_080, directory_len_bytes: 5_320 };
    let trailer_bytes = trailer.encode().to_vec();
    assert_eq!(PackTrailer::decode(&trailer_bytes, 20_400), Ok(trailer));
    let (full, empty) = (directory(), Directory::default());
    for directory in [&full, &empty] {
        assert_eq!(Directory::decode(&directory.encode(), 15_080).as_ref(), Ok(directory));
    }
    let layout = ParityLayout::of_body(20_480);
    let tags = (0..9).map(|number| [number; ParityTable::TAG_LEN]).collect();
    let table = ParityTable { layout, tags };
    assert_eq!(ParityTable::decode_end(&table.encode()).as_ref(), Ok(&table));
    vec![
        ("pack_header/one".into(), header_bytes),
        ("parity_table/nine-shards".into(), table.encode()),
        ("pack_trailer/one".into(), trailer_bytes),
        ("directory/three-frames".into(), full.encode()),
        ("directory/empty".into(), empty.encode()),
    ]
}

fn catalogs() -> Encodings {
    let pack = |name: &[u8], directory| CatalogedPack { pack: ObjectId::of(name), len_bytes: 20_480, directory };
    let catalog = Catalog { packs: vec![pack(b"first", directory()), pack(b"second", Directory::default())] };
    assert_eq!(Catalog::decode(&catalog.encode()).as_ref(), Ok(&catalog));
    let sealed = |magic, name: &str| {
        let header = SealedHeader { epoch: 7, scope: REPOSITORY, salt: [0xC1; 32] };
        let bytes = header.encode(magic).to_vec();
        assert_eq!(SealedHeader::split("object", magic, &bytes), Ok((header, &[][..])));
        (format!("sealed_header/{name}"), bytes)
    };
    vec![
        ("catalog/two-packs".into(), catalog.encode()),
        sealed(catalog::MAGIC, "catalog"),
        sealed(snapshot::MAGIC, "snapshot"),
        sealed(tombstone::MAGIC, "tombstone"),
    ]
}

fn content(depth: u8, lens_bytes: &[u32]) -> Content {
    let chunk = |len_bytes: &u32| ChunkRef { digest: Digest::from_bytes([0xD1; 32]), len_bytes: *len_bytes };
    Content { depth, chunks: lens_bytes.iter().map(chunk).collect() }
}

fn contents() -> Encodings {
    let encoded = |name: &str, content: &Content| {
        let mut bytes = Vec::new();
        content.encode_into(&mut bytes);
        assert_eq!(Content::decode(&bytes).as_ref(), Ok(content));
        (format!("content/{name}"), bytes)
    };
    let list = content(0, &[65_536, 1, 262_144]);
    let mut list_bytes = Vec::new();
    list.chunks.iter().for_each(|chunk| chunk.encode_into(&mut list_bytes));
    assert_eq!(ChunkRef::decode_list(&list_bytes), Ok(list.chunks));
    vec![
        encoded("empty", &Content::empty()),
        encoded("direct", &content(0, &[65_536, 1])),
        encoded("lists", &content(2, &[9_216, 72])),
        ("chunk_list/three".into(), list_bytes),
    ]
}

fn entries() -> Vec<(&'static str, Entry)> {
    let plain = Metadata {
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: b"user".to_vec(),
        group: b"users".to_vec(),
        modified: CREATED,
        xattrs: Vec::new(),
        link_group: None,
    };
    let rich = Metadata {
        mode: 0o7755,
        modified: Timestamp { seconds: -1, nanoseconds: 999_999_999 },
        xattrs: vec![(b"user.empty".to_vec(), Vec::new()), (b"user.text".to_vec(), b"\0\xff".to_vec())],
        link_group: Some(LinkGroup { device: 64_768, inode: 1 << 40 }),
        user: Vec::new(),
        ..plain.clone()
    };
    let entry = |name: &'static str, metadata: &Metadata, node| {
        let plain_name = EntryName::new(name.as_bytes().to_vec()).expect("a plain name");
        (name, Entry { name: plain_name, node, metadata: metadata.clone() })
    };
    vec![
        entry("block-device", &plain, Node::BlockDevice { major: 8, minor: 1 }),
        entry("char-device", &plain, Node::CharDevice { major: 1, minor: 3 }),
        entry("fifo", &plain, Node::Fifo),
        entry("file", &plain, Node::File { len_bytes: 65_537, content: content(0, &[65_536, 1]), sparse: false }),
        entry("file-rich", &rich, Node::File { len_bytes: 1 << 33, content: content(1, &[9_216]), sparse: true }),
        entry("folder", &plain, Node::Folder { content: content(0, &[400]) }),
        entry("symlink", &plain, Node::Symlink { target: b"../\xff".to_vec() }),
    ]
}

fn trees() -> Encodings {
    let mut stream = Vec::new();
    let mut encodings = Encodings::new();
    for (name, entry) in entries() {
        let start = stream.len();
        entry.encode_into(&mut stream);
        let bytes = stream[start + 4..].to_vec();
        assert_eq!(Entry::decode(&bytes), Ok(entry));
        encodings.push((format!("tree_entry/{name}"), bytes));
    }
    encodings.push(("tree_stream/all".into(), stream));
    encodings
}

fn deletion() -> Encodings {
    let id = |text: &[u8]| ObjectId::of(text);
    let intent = Intent {
        purpose: Intent::BACKUP.into(),
        time: CREATED,
        host: Bytes(b"host\xff".to_vec()),
        user: "user".into(),
        process: Some(ProcessMark {
            machine: Bytes(b"machine".to_vec()),
            boot: Bytes(b"boot pid:[1]".to_vec()),
            process: 42,
            started: 1 << 40,
        }),
        program: "vellum".into(),
    };
    let unknown = Intent { purpose: Intent::PRUNE.into(), process: None, ..intent.clone() };
    let packs = CondemnedRecord::Packs { time: CREATED, packs: vec![id(b"one"), id(b"two")] };
    let outlast = CondemnedRecord::Outlast { condemned: id(b"condemned"), intents: vec![id(b"intent")] };
    let raised = FenceRecord::Raised { intent: id(b"intent"), time: CREATED };
    let closed = FenceRecord::Closed { intent: id(b"intent"), snapshots: vec![id(b"snapshot")] };
    vec![
        ("intent/backup".into(), intent.encode()),
        ("intent/prune".into(), unknown.encode()),
        ("condemned/packs".into(), packs.encode()),
        ("condemned/outlast".into(), outlast.encode()),
        ("fence/raised".into(), raised.encode()),
        ("fence/closed".into(), closed.encode()),
    ]
}

fn verifications() -> Encodings {
    let run =
        |reach, files_restored, findings| CheckRun { time: CREATED, device: DEVICE, reach, files_restored, findings };
    let reading = |name: &[u8], run, is_whole| PackReading { pack: ObjectId::of(name), run, is_whole };
    let mut packs = vec![reading(b"one", 0, true), reading(b"two", 1, true), reading(b"three", 1, false)];
    packs.sort();
    let runs = vec![run(Reach::EveryByte, 0, 0), run(Reach::Sample, 5, 1), run(Reach::Structure, 2, 0)];
    let named = |name: &str, record: Verification| {
        assert_eq!(Verification::decode(&record.encode()).as_ref(), Ok(&record));
        (format!("verification/{name}"), record.encode())
    };
    vec![named("empty", Verification::default()), named("packs", Verification { runs, packs })]
}

fn snapshots() -> Encodings {
    let first = SnapshotManifest {
        repository: REPOSITORY,
        device: DEVICE,
        sequence: 1,
        previous: None,
        seen: Vec::new(),
        intent: ObjectId::of(b"intent"),
        time: CREATED,
        host: Bytes(b"host".to_vec()),
        user: "user".into(),
        paths: vec![Bytes(b"/home/user".to_vec())],
        tags: Vec::new(),
        root: Root::new(&content(0, &[400]), "private"),
        summary: Summary { files: 5, folders: 4, others: 3, bytes: 1 << 40, duration_ms: 2, ..Summary::default() },
        program: "vellum".into(),
        must_understand: Vec::new(),
    };
    let later = SnapshotManifest {
        sequence: 1 << 32,
        previous: Some(ObjectId::of(b"previous")),
        seen: vec![ObjectId::of(b"other"), ObjectId::of(b"another")],
        time: Timestamp { seconds: -5, nanoseconds: 0 },
        host: Bytes(b"\xff".to_vec()),
        paths: vec![Bytes(b"/a".to_vec()), Bytes(b"/\xfe".to_vec())],
        tags: vec!["one".into(), "zwei ü".into()],
        root: Root::new(&content(1, &[9_216, 72]), "private"),
        ..first.clone()
    };
    for manifest in [&first, &later] {
        assert_eq!(SnapshotManifest::decode(&manifest.encode()).as_ref(), Ok(manifest));
    }
    let certificate = DeviceCertificate {
        repository: REPOSITORY,
        device: DEVICE,
        public_key: FixedBytes([0xE1; 32]),
        role: "owner".into(),
    };
    assert_eq!(DeviceCertificate::decode(&certificate.encode()).as_ref(), Ok(&certificate));
    let signed = SignedRecord {
        manifest: Bytes(first.encode()),
        certificate: Bytes(certificate.encode()),
        certificate_signature: FixedBytes([0xE2; 64]),
        signature: FixedBytes([0xE3; 64]),
    };
    assert_eq!(SignedRecord::decode(&signed.encode()).as_ref(), Ok(&signed));
    vec![
        ("snapshot_manifest/first".into(), first.encode()),
        ("snapshot_manifest/later".into(), later.encode()),
        ("device_certificate/one".into(), certificate.encode()),
        ("record_signed/snapshot".into(), signed.encode()),
    ]
}

fn tombstones() -> Encodings {
    let first = TombstoneManifest {
        repository: REPOSITORY,
        device: DEVICE,
        sequence: 2,
        previous: None,
        seen: Vec::new(),
        time: CREATED,
        host: Bytes(b"host".to_vec()),
        user: "user".into(),
        removed: vec![ObjectId::of(b"removed")],
        reason: String::new(),
        program: "vellum".into(),
        must_understand: Vec::new(),
    };
    let later = TombstoneManifest {
        sequence: 1 << 32,
        previous: Some(ObjectId::of(b"previous")),
        seen: vec![ObjectId::of(b"other"), ObjectId::of(b"another")],
        time: Timestamp { seconds: -5, nanoseconds: 0 },
        host: Bytes(b"\xff".to_vec()),
        removed: vec![ObjectId::of(b"removed"), ObjectId::of(b"removed as well")],
        reason: "keep 7 daily ü".into(),
        ..first.clone()
    };
    for manifest in [&first, &later] {
        assert_eq!(TombstoneManifest::decode(&manifest.encode()).as_ref(), Ok(manifest));
    }
    vec![("tombstone_manifest/first".into(), first.encode()), ("tombstone_manifest/later".into(), later.encode())]
}

fn configs() -> Encodings {
    let class = |algorithm: &str| ClassConfig {
        name: "private".into(),
        chunker: ChunkerConfig {
            algorithm: algorithm.into(),
            min_len_bytes: 16 << 10,
            avg_len_bytes: 64 << 10,
            max_len_bytes: 256 << 10,
        },
        compression_level: 3,
    };
    let config = RepositoryConfig {
        repository: REPOSITORY,
        created: CREATED,
        owner: FixedBytes([0xF1; 32]),
        pack_len_bytes: 32 << 20,
        parity: Parity::ReedSolomon,
        frame_len_bytes: 1 << 20,
        classes: vec![class("phte128")],
        must_understand: Vec::new(),
        may_ignore: Vec::new(),
    };
    let gear = RepositoryConfig { classes: vec![class("gear")], may_ignore: vec!["name".into()], ..config.clone() };
    for config in [&config, &gear] {
        assert_eq!(RepositoryConfig::decode(&config.encode()).as_ref(), Ok(config));
    }
    vec![("repository_config/phte128".into(), config.encode()), ("repository_config/gear".into(), gear.encode())]
}

fn key_manifests() -> Encodings {
    let header = |kind: &str| SlotHeader {
        repository: REPOSITORY,
        slot: FixedBytes([0x91; 8]),
        kind: kind.into(),
        role: "owner".into(),
        label: "laptop".into(),
        created: CREATED,
        argon2id: (kind == "password").then_some(Argon2idParameters { memory_kib: 65_536, passes: 3, lanes: 4 }),
        salt: FixedBytes([0x92; 32]),
        public_key: Bytes(vec![0x93; 48]),
        owner_proof: FixedBytes([0xA9; 32]),
    };
    let (password, key_file) = (header("password"), header("key-file"));
    for header in [&password, &key_file] {
        assert_eq!(SlotHeader::decode(&header.encode()).as_ref(), Ok(header));
    }
    let slot = Slot {
        header: Bytes(key_file.encode()),
        encapsulated: Bytes(vec![0x94; 40]),
        sealed_ring_key: Bytes(vec![0x95; 80]),
    };
    let ring = SealedRing { role: "owner".into(), salt: FixedBytes([0x96; 32]), sealed: Bytes(vec![0x97; 100]) };
    let first = KeyManifest {
        repository: REPOSITORY,
        generation: 1,
        previous: None,
        config: ObjectId::of(b"config"),
        slots: vec![slot],
        rings: vec![ring],
    };
    let second = KeyManifest { generation: 2, previous: Some(ObjectId::of(b"previous")), ..first.clone() };
    for manifest in [&first, &second] {
        assert_eq!(KeyManifest::decode(&manifest.encode()).as_ref(), Ok(manifest));
    }
    let signed = SignedKeyManifest { manifest: Bytes(first.encode()), signature: FixedBytes([0x98; 64]) };
    assert_eq!(SignedKeyManifest::decode(&signed.encode()).as_ref(), Ok(&signed));
    vec![
        ("slot_header/password".into(), password.encode()),
        ("slot_header/key-file".into(), key_file.encode()),
        ("key_manifest/first".into(), first.encode()),
        ("key_manifest/second".into(), second.encode()),
        ("key_manifest_signed/first".into(), signed.encode()),
    ]
}
