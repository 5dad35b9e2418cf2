//! The repositories that hostility builds, each from a small honest one.

use super::evil::{Evil, Lies, NOW, entry_with_name};
use std::fs;
use vellum::format::catalog::CatalogedPack;
use vellum::format::content::{ChunkKind, Content};
use vellum::format::deletion::{CondemnedRecord, FenceRecord};
use vellum::format::limits::RECORD_NAMES_MAX;
use vellum::format::pack::{Directory, PackHeader, PackTrailer};
use vellum::format::snapshot::{Summary, Timestamp};
use vellum::format::tree::{LinkGroup, Metadata, Node};
use vellum::format::{DeviceId, ObjectId, ObjectKind, ObjectName, RepositoryId};
use vellum_crypto::{Credential, KeyManifestDraft, OwnerRing};
use vellum_testkit::Random;
use vellum_testkit::entries::{entry, entry_with, metadata};

/// What has to become of a hostile repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `check --read-data` says what is wrong.
    Told,
    /// Nothing is wrong with it, or only what hinders nobody.
    Harmless,
    /// It cannot be opened.
    Shut,
    /// It is well formed and says truly that it is immense: `ls` and `restore` go on until they are stopped.
    Immense,
    /// The same, and `check --read-data` says what is wrong with it.
    ImmenseTold,
}

impl Outcome {
    pub(super) fn is_immense(self) -> bool {
        matches!(self, Self::Immense | Self::ImmenseTold)
    }
}

/// One hostile repository.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Whether the quick suite has it.
    pub(super) is_quick: bool,
    pub(super) make: Box<dyn Fn(&mut Evil)>,
}

/// Every hostile repository.
pub(super) fn all() -> Vec<Case> {
    let groups = [names(), shapes(), bombs(), packs(), catalogs(), versions(), keys(), swaps(), deletion(), history()];
    groups.into_iter().flatten().chain(places()).collect()
}

fn case(name: impl Into<String>, outcome: Outcome, make: impl Fn(&mut Evil) + 'static) -> Case {
    Case { name: name.into(), outcome, is_quick: true, make: Box::new(make) }
}

fn slow(case: Case) -> Case {
    Case { is_quick: false, ..case }
}

/// A snapshot whose root folder lists these bytes.
fn root(evil: &mut Evil, list: &[u8]) {
    let root = evil.content(ChunkKind::Tree, list);
    evil.flush();
    evil.snapshot(&root, |_| ());
}

fn file(evil: &mut Evil, name: &[u8], text: &[u8]) -> Vec<u8> {
    let content = evil.content(ChunkKind::Data, text);
    entry(name, Node::File { len_bytes: text.len() as u64, content, sparse: false })
}

fn folder(evil: &mut Evil, name: &[u8], list: &[u8]) -> Vec<u8> {
    let content = evil.content(ChunkKind::Tree, list);
    entry(name, Node::Folder { content })
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    entry(name, Node::Symlink { target: target.to_vec() })
}

/// Names that no folder can hold.
fn names() -> Vec<Case> {
    let evil_names: [(&str, Vec<u8>); 8] = [
        ("..", b"..".to_vec()),
        (".", b".".to_vec()),
        ("empty", Vec::new()),
        ("with a slash", b"a/b".to_vec()),
        ("out and in again", b"../outside/planted".to_vec()),
        ("with NUL", b"a\0b".to_vec()),
        ("absolute", b"/planted".to_vec()),
        ("of 64 KiB", vec![b'n'; 64 << 10]),
    ];
    let make = |(what, name): (&str, Vec<u8>)| {
        case(format!("a name: {what}"), Outcome::Told, move |evil| {
            let list = entry_with_name(&name);
            root(evil, &list);
        })
    };
    evil_names.into_iter().map(make).collect()
}

/// Trees that are no trees.
fn shapes() -> Vec<Case> {
    vec![
        case("a link and a folder of one name", Outcome::Told, |evil| {
            let below = file(evil, b"planted", b"evil");
            let list = [link(b"x", b"../outside"), folder(evil, b"x", &below)].concat();
            root(evil, &list);
        }),
        case("a link, and later a file through it", Outcome::Harmless, |evil| {
            root(evil, &link(b"x", b"../outside"));
            let below = file(evil, b"planted", b"evil");
            let list = folder(evil, b"x", &below);
            root(evil, &list);
        }),
        case("a hard link to outside", Outcome::Harmless, |evil| {
            let link_group = Some(LinkGroup { device: 1, inode: 1 });
            let linked = || Metadata { link_group, ..metadata() };
            let content = evil.content(ChunkKind::Data, b"evil");
            let file = Node::File { len_bytes: 4, content, sparse: false };
            let link = Node::Symlink { target: b"../outside/file".to_vec() };
            root(evil, &[entry_with(b"a", link, linked()), entry_with(b"b", file, linked())].concat());
        }),
        case("devices and setuid", Outcome::Harmless, |evil| {
            let mode = || Metadata { mode: 0o7777, ..metadata() };
            let content = evil.content(ChunkKind::Data, b"evil");
            let list = [
                entry_with(b"block", Node::BlockDevice { major: u32::MAX, minor: u32::MAX }, mode()),
                entry_with(b"character", Node::CharDevice { major: 1, minor: 3 }, mode()),
                entry_with(b"file", Node::File { len_bytes: 4, content, sparse: false }, mode()),
            ];
            root(evil, &list.concat());
        }),
        case("100,000 folders below each other", Outcome::Told, |evil| deep(evil, b"d", 100_000)),
        slow(case("16,000 folders below each other, with names of 4 KiB", Outcome::Told, |evil| {
            deep(evil, &[b'd'; 4096], 16_000);
        })),
        case("names of files at the end of a path of 255 KiB", Outcome::Harmless, |evil| {
            let content = evil.content(ChunkKind::Data, b"evil");
            let entries = (0..2000u64).flat_map(|number| {
                let node = Node::File { len_bytes: 4, content: content.clone(), sparse: false };
                // Every second is a further name of the first of these.
                let link_group = (number % 2 == 1).then_some(LinkGroup { device: 1, inode: 1 });
                entry_with(format!("{number:04}").as_bytes(), node, Metadata { link_group, ..metadata() })
            });
            let mut list = entries.collect::<Vec<u8>>();
            for _ in 0..1020 {
                list = folder(evil, &[b'd'; 255], &list);
            }
            root(evil, &list);
        }),
        case("names that do not ascend", Outcome::Told, |evil| {
            root(evil, &[entry(b"b", Node::Fifo), entry(b"a", Node::Fifo)].concat());
        }),
        case("a name twice", Outcome::Told, |evil| {
            root(evil, &[entry(b"a", Node::Fifo), entry(b"a", Node::Fifo)].concat());
        }),
        case("an entry that claims 4 GiB", Outcome::Told, |evil| root(evil, &[0xff; 64])),
        case("a root that is another's", Outcome::Harmless, |evil| {
            let list = entry(b"f", Node::Fifo);
            let shared = evil.content(ChunkKind::Tree, &list);
            let node = || Node::Folder { content: shared.clone() };
            root(evil, &[entry(b"a", node()), entry(b"b", node())].concat());
            evil.snapshot(&shared, |_| ());
        }),
        case("a root made of data", Outcome::Told, |evil| {
            let content = evil.content(ChunkKind::Data, &entry(b"f", Node::Fifo));
            evil.flush();
            evil.snapshot(&content, |_| ());
        }),
        case("chunks that are nowhere", Outcome::Told, |evil| {
            let mut content = evil.content(ChunkKind::Data, b"evil");
            content.chunks[0].digest = vellum::format::Digest::from_bytes([7; 32]);
            root(evil, &entry(b"file", Node::File { len_bytes: 4, content, sparse: false }));
        }),
    ]
}

fn deep(evil: &mut Evil, name: &[u8], levels: usize) {
    let mut list = entry(b"f", Node::Fifo);
    for _ in 0..levels {
        list = folder(evil, name, &list);
    }
    root(evil, &list);
}

/// A content of depth 3: one chunk of 1 MiB, `top` times 2^36 times.
fn repeated(evil: &mut Evil, top: usize) -> Content {
    let mut chunk = evil.chunk(ChunkKind::Data, &Random::new(1).bytes(1 << 20));
    for _ in 0..3 {
        let mut list = Vec::new();
        (0..4096).for_each(|_| chunk.encode_into(&mut list));
        chunk = evil.chunk(ChunkKind::List, &list);
    }
    Content { depth: 3, chunks: vec![chunk; top] }
}

/// What is small and claims to be immense.
fn bombs() -> Vec<Case> {
    let long = |name: &str, outcome, len_bytes: u64, sparse: bool| {
        case(name, outcome, move |evil| {
            let content = repeated(evil, 128);
            root(evil, &entry(b"file", Node::File { len_bytes, content, sparse }));
        })
    };
    vec![
        long("a file of 2^63 bytes of one chunk", Outcome::Harmless, 1 << 63, false),
        long("the same with holes", Outcome::Harmless, 1 << 63, true),
        long("the same that claims 4 bytes", Outcome::Told, 4, false),
        long("the same that claims a byte more", Outcome::Told, (1 << 63) + 1, false),
        case("a file of 2^63 bytes of 4", Outcome::Told, |evil| {
            let content = evil.content(ChunkKind::Data, b"evil");
            root(evil, &entry(b"file", Node::File { len_bytes: 1 << 63, content, sparse: true }));
        }),
        case("a file of more than 2^64 bytes", Outcome::Told, |evil| {
            let content = repeated(evil, 256);
            root(evil, &entry(b"file", Node::File { len_bytes: 0, content, sparse: false }));
        }),
        slow(case("3,000 files of 2^63 bytes", Outcome::Harmless, |evil| {
            let content = repeated(evil, 128);
            let file = |number: u32| {
                let node = Node::File { len_bytes: 1 << 63, content: content.clone(), sparse: false };
                entry(format!("{number:05}").as_bytes(), node)
            };
            let list: Vec<u8> = (0..3000).flat_map(file).collect();
            let pieces: Vec<_> = list.chunks(1 << 16).map(|piece| evil.chunk(ChunkKind::Tree, piece)).collect();
            evil.flush();
            evil.snapshot(&Content { depth: 0, chunks: pieces }, |_| ());
        })),
        case("2^40 folders", Outcome::Immense, |evil| wide(evil, |_| entry(b"f", Node::Fifo))),
        case("2^40 folders, each of which has lost a file", Outcome::ImmenseTold, |evil| {
            wide(evil, |evil| {
                let mut content = evil.content(ChunkKind::Data, b"evil");
                content.chunks[0].digest = vellum::format::Digest::from_bytes([7; 32]);
                entry(b"f", Node::File { len_bytes: 4, content, sparse: false })
            });
        }),
        case("2^40 files of 2^63 bytes", Outcome::Immense, |evil| {
            wide(evil, |evil| {
                let content = repeated(evil, 128);
                entry(b"f", Node::File { len_bytes: 1 << 63, content, sparse: false })
            });
        }),
    ]
}

fn wide(evil: &mut Evil, leaf: impl Fn(&mut Evil) -> Vec<u8>) {
    let mut list = leaf(evil);
    for _ in 0..40 {
        let content = evil.content(ChunkKind::Tree, &list);
        let node = || Node::Folder { content: content.clone() };
        list = [entry(b"a", node()), entry(b"b", node())].concat();
    }
    root(evil, &list);
}

/// A zstd frame without a content size: one byte, repeated.
fn zstd_frame(window_exponent: u8, blocks: usize) -> Vec<u8> {
    const BLOCK_LEN_BYTES: u32 = 128 << 10;
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window_exponent << 3];
    for number in 1..=blocks {
        let header = u32::from(number == blocks) | 1 << 1 | BLOCK_LEN_BYTES << 3;
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.push(b'e');
    }
    bytes
}

/// A pack that a snapshot needs, told of by a catalog in the same words.
fn lying_pack(name: &str, lies: impl Fn() -> Lies + 'static) -> Case {
    case(format!("a pack: {name}"), Outcome::Told, move |evil| {
        let text = Random::new(3).bytes(100_000);
        let list = file(evil, b"file", &text);
        let root = evil.content(ChunkKind::Tree, &list);
        let frames = evil.take_waiting();
        let pack = evil.pack(frames, &lies());
        evil.catalog(vec![pack]);
        evil.snapshot(&root, |_| ());
    })
}

fn trailer(name: &str, lie: fn(PackTrailer) -> PackTrailer) -> Case {
    lying_pack(name, move || Lies { trailer: Some(lie), ..Lies::default() })
}

fn directory(name: &str, lie: fn(&mut Directory)) -> Case {
    lying_pack(name, move || Lies { directory: Some(lie), ..Lies::default() })
}

fn payload(name: &str, payload: impl Fn() -> Vec<u8> + 'static) -> Case {
    lying_pack(name, move || Lies { payload: Some(payload()), ..Lies::default() })
}

fn packs() -> Vec<Case> {
    vec![
        payload("10 GiB in one frame", || zstd_frame(7, 80 << 10)),
        payload("a window of 2 GiB", || zstd_frame(21, 1)),
        payload("a window of 3.75 TiB", || vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 3, 0, 0, b'e']),
        payload("an empty frame", Vec::new),
        payload("a frame of noise", || Random::new(9).bytes(1000)),
        trailer("a directory of 0 bytes", |trailer| PackTrailer { directory_len_bytes: 0, ..trailer }),
        trailer("a directory of 2^32 - 1 bytes", |trailer| PackTrailer { directory_len_bytes: u32::MAX, ..trailer }),
        trailer("a directory behind the end", |trailer| PackTrailer { directory_offset: u32::MAX, ..trailer }),
        trailer("both at 2^32 - 1", |_| PackTrailer { directory_offset: u32::MAX, directory_len_bytes: u32::MAX }),
        trailer("a directory over the frames", |trailer| PackTrailer {
            directory_offset: 80,
            directory_len_bytes: trailer.directory_offset + trailer.directory_len_bytes - 80,
        }),
        directory("frames over each other", |directory| directory.frames[1].offset = directory.frames[0].offset),
        directory("a frame over the header", |directory| directory.frames[0].offset = 0),
        directory("a frame behind the end", |directory| directory.frames[1].offset = u32::MAX),
        directory("a frame of 4 GiB", |directory| directory.frames[1].stored_len_bytes = u32::MAX),
        directory("a frame of no bytes", |directory| directory.frames[0].stored_len_bytes = 0),
        directory("a chunk of no bytes", |directory| directory.frames[0].chunks[0].len_bytes = 0),
        directory("a chunk of 4 GiB", |directory| directory.frames[0].chunks[0].len_bytes = u32::MAX),
        directory("a frame without chunks", |directory| directory.frames[0].chunks.clear()),
        directory("a frame of another kind", |directory| directory.frames[0].kind = ChunkKind::Tree),
        directory("a wrap that is not there", |directory| directory.frames[0].wrap = u16::MAX),
        directory("a wrap of an unknown kind", |directory| directory.wraps[0].kind = 2),
        directory("a wrap of an unknown epoch", |directory| directory.wraps[0].epoch = u32::MAX),
        directory("an empty wrap", |directory| directory.wraps[0].bytes.clear()),
        lying_pack("of another repository", || Lies {
            scope: Some(RepositoryId::from_bytes([9; 16])),
            ..Lies::default()
        }),
        case("parity that makes something else", Outcome::Told, |evil| {
            for name in evil.names(ObjectKind::Pack) {
                let mut bytes = evil.read(&name);
                let header = PackHeader::decode(&bytes[..PackHeader::ENCODED_LEN], bytes.len() as u64);
                bytes.truncate(usize::try_from(header.expect("an honest pack").body_len_bytes).expect("small"));
                bytes[PackHeader::ENCODED_LEN] ^= 1;
                vellum_repository::add_parity(&mut bytes);
                evil.put_as(ObjectKind::Pack, name.id, &bytes);
            }
        }),
    ]
}

fn catalogs() -> Vec<Case> {
    fn absent(number: u32) -> CatalogedPack {
        let pack = ObjectId::of(&number.to_le_bytes());
        CatalogedPack { pack, len_bytes: 1 << 20, directory: Directory::default() }
    }
    fn honest(evil: &mut Evil, text: &[u8]) -> CatalogedPack {
        let list = file(evil, b"file", text);
        let root = evil.content(ChunkKind::Tree, &list);
        let frames = evil.take_waiting();
        let pack = evil.pack(frames, &Lies::default());
        evil.snapshot(&root, |_| ());
        pack
    }
    let raw = |name: &str, bytes: &'static [u8]| {
        case(format!("a catalog: {name}"), Outcome::Told, move |evil| {
            evil.catalog_of(bytes);
        })
    };
    vec![
        case("a catalog: a pack twice", Outcome::Harmless, |evil| {
            let pack = honest(evil, b"honest");
            evil.catalog(vec![pack.clone(), pack]);
        }),
        case("a catalog: a pack with the content of another", Outcome::Told, |evil| {
            let pack = honest(evil, b"one");
            let other = honest(evil, b"other");
            evil.catalog(vec![CatalogedPack { directory: other.directory.clone(), ..pack }, other]);
        }),
        case("a catalog: frames of another kind", Outcome::Told, |evil| {
            let mut pack = honest(evil, b"honest");
            pack.directory.frames.iter_mut().for_each(|frame| frame.kind = ChunkKind::List);
            evil.catalog(vec![pack]);
        }),
        case("a catalog: a snapshot as a pack", Outcome::Told, |evil| {
            let mut pack = honest(evil, b"honest");
            pack.pack = evil.names(ObjectKind::Snapshot)[0].id;
            evil.catalog(vec![pack]);
        }),
        case("a catalog: 65,536 packs that are not there", Outcome::Told, |evil| {
            evil.catalog((0..65_536).map(absent).collect());
        }),
        raw("2^32 - 1 packs", b"\x01\0\0\0\xff\xff\xff\xff"),
        raw("65,536 packs in no bytes", b"\x01\0\0\0\0\0\x01\0"),
        raw("of an unknown version", b"\x02\0\0\0\0\0\0\0"),
        raw("with something behind its end", b"\x01\0\0\0\0\0\0\0evil"),
    ]
}

/// The kinds of which there is one in every repository.
const ALWAYS: [ObjectKind; 5] =
    [ObjectKind::Config, ObjectKind::Key, ObjectKind::Pack, ObjectKind::Catalog, ObjectKind::Snapshot];

/// One object of every kind that this repository has or can have.
fn one_of_each(evil: &mut Evil) -> Vec<ObjectName> {
    evil.intent(1);
    evil.tombstone(vec![ObjectId::of(b"nothing")], |_| ());
    let condemned = evil.condemn(&CondemnedRecord::Packs { time: NOW, packs: vec![ObjectId::of(b"nothing")] });
    evil.fence(&FenceRecord::Raised { intent: condemned, time: NOW });
    let more = [ObjectKind::Intent, ObjectKind::Tombstone, ObjectKind::Condemned, ObjectKind::Fence];
    ALWAYS.into_iter().chain(more).map(|kind| evil.names(kind)[0]).collect()
}

fn versions() -> Vec<Case> {
    let of_kind = |kind: ObjectKind, at: usize, what: &str| {
        let shut = matches!(kind, ObjectKind::Config | ObjectKind::Key);
        let outcome = if shut { Outcome::Shut } else { Outcome::Told };
        case(format!("{what} of a {}", kind.noun()), outcome, move |evil| {
            let name = evil.names(kind)[0];
            let mut bytes = evil.read(&name);
            bytes[at] = 99;
            evil.delete(&name);
            evil.put(kind, &bytes);
        })
    };
    let mut cases: Vec<Case> = ALWAYS.into_iter().map(|kind| of_kind(kind, 8, "an unknown version")).collect();
    cases.extend(ALWAYS.into_iter().map(|kind| of_kind(kind, 10, "an unknown suite")));
    cases.push(case("unknown versions of records", Outcome::Told, |evil| {
        for name in one_of_each(evil).into_iter().filter(|name| !ALWAYS.contains(&name.kind)) {
            let mut bytes = evil.read(&name);
            bytes[8] = 99;
            evil.put(name.kind, &bytes);
        }
    }));
    cases.push(case("an unknown feature of the config", Outcome::Shut, |evil| {
        let mut config = evil.config.clone();
        config.must_understand = vec!["teleport".to_owned()];
        evil.reconfigure(&config.encode());
    }));
    cases.push(case("an unknown feature of a snapshot", Outcome::Told, |evil| {
        let root = evil.content(ChunkKind::Tree, &entry(b"f", Node::Fifo));
        evil.flush();
        evil.snapshot(&root, |manifest| manifest.must_understand = vec!["teleport".to_owned()]);
    }));
    cases
}

fn keys() -> Vec<Case> {
    vec![
        case("the right key and other secrets", Outcome::Shut, |evil| {
            let ring = OwnerRing::generate(&["private"]).expect("randomness");
            let mut config = evil.config.clone();
            config.owner = ring.owner_public_key();
            let old = evil.names(ObjectKind::Config)[0];
            evil.delete(&old);
            let config = evil.put(ObjectKind::Config, &config.encode());
            let mut draft = KeyManifestDraft::first(evil.scope(), config, ring).expect("randomness");
            let other = vellum_crypto::KeyFile::generate().expect("randomness");
            draft.add_slot("evil", NOW, &Credential::KeyFile(&other), None).expect("a slot");
            let (signed, _) = draft.finish().expect("randomness");
            evil.delete(&ObjectName::new(ObjectKind::Key, evil.key_manifest));
            evil.put(ObjectKind::Key, &signed.encode());
        }),
        case("the keys of another owner", Outcome::Shut, |evil| {
            let ring = OwnerRing::generate(&["private"]).expect("randomness");
            let config = evil.names(ObjectKind::Config)[0].id;
            let mut draft = KeyManifestDraft::first(evil.scope(), config, ring).expect("randomness");
            draft.add_slot("evil", NOW, &Credential::KeyFile(&evil.key), None).expect("a slot");
            let (signed, _) = draft.finish().expect("randomness");
            evil.delete(&ObjectName::new(ObjectKind::Key, evil.key_manifest));
            evil.put(ObjectKind::Key, &signed.encode());
        }),
        case("256 slots", Outcome::Harmless, |evil| {
            let mut draft = evil.unlocked.draft(evil.key_manifest).expect("our own keys");
            for _ in 0..254 {
                let other = vellum_crypto::KeyFile::generate().expect("randomness");
                draft.add_slot("evil", NOW, &Credential::KeyFile(&other), None).expect("a slot");
            }
            let (signed, _) = draft.finish().expect("our own keys");
            evil.put(ObjectKind::Key, &signed.encode());
            evil.delete(&ObjectName::new(ObjectKind::Key, evil.key_manifest));
        }),
        case("a config of immense packs and slow compression", Outcome::Harmless, |evil| {
            let mut config = evil.config.clone();
            (config.pack_len_bytes, config.frame_len_bytes) = (512 << 20, 8 << 20);
            config.classes[0].compression_level = 22;
            config.classes[0].chunker.max_len_bytes = 16 << 20;
            evil.reconfigure(&config.encode());
        }),
    ]
}

fn swaps() -> Vec<Case> {
    let in_place_of_each = |name: &str, bytes: &'static [u8]| {
        case(name, Outcome::Told, move |evil| {
            for name in one_of_each(evil) {
                evil.put(name.kind, bytes);
            }
        })
    };
    vec![
        case("every object as every other kind", Outcome::Told, |evil| {
            let objects: Vec<_> = one_of_each(evil).into_iter().map(|name| (name.kind, evil.read(&name))).collect();
            for (kind, _) in &objects {
                for (_, bytes) in objects.iter().filter(|(own, _)| own != kind) {
                    evil.put(*kind, bytes);
                }
            }
        }),
        case("every seal under every other header", Outcome::Told, |evil| {
            let objects: Vec<_> = one_of_each(evil).into_iter().map(|name| (name.kind, evil.read(&name))).collect();
            for (kind, own) in &objects {
                for (_, other) in objects.iter().filter(|(other, _)| other != kind) {
                    evil.put(*kind, &[&own[..64], &other[64..]].concat());
                }
            }
        }),
        case("what belongs to another repository", Outcome::Told, |evil| {
            for name in one_of_each(evil) {
                let mut bytes = evil.read(&name);
                bytes[16..32].copy_from_slice(&[9; 16]);
                evil.put(name.kind, &bytes);
            }
        }),
        in_place_of_each("objects of no bytes", b""),
        in_place_of_each("objects of zeros", &[0; 4096]),
        case("objects of another name", Outcome::Told, |evil| {
            for name in one_of_each(evil) {
                let bytes = evil.read(&name);
                evil.put_as(name.kind, ObjectId::of(b"another"), &bytes);
            }
        }),
    ]
}

fn deletion() -> Vec<Case> {
    let absent = |number: u32| ObjectId::of(&number.to_le_bytes());
    let many = move |count: usize| (0..u32::try_from(count).expect("small")).map(absent).collect::<Vec<_>>();
    vec![
        case("condemned: packs that are not there", Outcome::Harmless, move |evil| {
            evil.condemn(&CondemnedRecord::Packs { time: NOW, packs: many(RECORD_NAMES_MAX) });
            evil.condemn(&CondemnedRecord::Outlast { condemned: absent(1), intents: many(RECORD_NAMES_MAX) });
        }),
        case("condemned: every pack", Outcome::Harmless, |evil| {
            let packs = evil.names(ObjectKind::Pack).iter().map(|name| name.id).collect();
            evil.condemn(&CondemnedRecord::Packs { time: Timestamp { seconds: 0, nanoseconds: 0 }, packs });
        }),
        case("condemned: a million packs", Outcome::Told, move |evil| {
            evil.condemn(&CondemnedRecord::Packs { time: NOW, packs: many(1_000_000) });
        }),
        case("fences for everybody", Outcome::Harmless, move |evil| {
            evil.fence(&FenceRecord::Raised { intent: ObjectId::of(b"an intent"), time: NOW });
            let nobody = FenceRecord::Closed { intent: ObjectId::of(b"an intent"), snapshots: Vec::new() };
            evil.fence(&nobody);
            for number in 0..1000 {
                evil.fence(&FenceRecord::Closed { intent: absent(number), snapshots: many(10) });
            }
        }),
        case("3,000 intents", Outcome::Harmless, |evil| {
            (0..3000).for_each(|number| {
                evil.intent(number);
            });
        }),
        case("tombstones with forged signatures", Outcome::Told, |evil| {
            let honest = evil.names(ObjectKind::Snapshot)[0].id;
            evil.tombstone(vec![honest], |signed| signed.signature.0[5] ^= 1);
            evil.tombstone(vec![honest], |signed| signed.certificate_signature.0[5] ^= 1);
        }),
        case("a tombstone of everything", Outcome::Harmless, move |evil| {
            let mut removed: Vec<ObjectId> = evil.names(ObjectKind::Snapshot).iter().map(|name| name.id).collect();
            removed.extend(many(60_000));
            evil.tombstone(removed, |_| ());
        }),
    ]
}

fn history() -> Vec<Case> {
    fn tree(evil: &mut Evil) -> Content {
        let root = evil.content(ChunkKind::Tree, &entry(b"f", Node::Fifo));
        evil.flush();
        root
    }
    let summary =
        Summary { files: u64::MAX, folders: u64::MAX, bytes: u64::MAX, errors: u64::MAX, ..Summary::default() };
    vec![
        case("a snapshot that claims everything", Outcome::Harmless, move |evil| {
            let root = tree(evil);
            for seconds in [i64::MAX, i64::MIN, 0] {
                evil.snapshot(&root, |manifest| {
                    manifest.summary = summary;
                    manifest.time = Timestamp { seconds, nanoseconds: 999_999_999 };
                    manifest.host = vellum::format::Bytes(vec![0x1b; 1000]);
                    manifest.user = "\u{1b}[2J\n".repeat(100);
                    manifest.tags = vec!["\u{7}\r\n".to_owned(); 1000];
                });
            }
        }),
        case("the last number of history", Outcome::Harmless, |evil| {
            let root = tree(evil);
            evil.snapshot(&root, |manifest| manifest.sequence = u64::MAX);
        }),
        case("history without a beginning", Outcome::Told, |evil| {
            let root = tree(evil);
            evil.snapshot(&root, |manifest| manifest.previous = Some(ObjectId::of(b"nothing")));
        }),
        case("a fork", Outcome::Told, |evil| {
            let root = tree(evil);
            let first = evil.snapshot(&root, |_| ());
            let second = evil.snapshot(&root, |_| ());
            evil.snapshot(&root, |manifest| manifest.previous = Some(first));
            evil.snapshot(&root, |manifest| manifest.previous = Some(second));
        }),
        case("a snapshot that knows 65,536 others", Outcome::Told, |evil| {
            let root = tree(evil);
            let absent = |number: u32| ObjectId::of(&number.to_le_bytes());
            evil.snapshot(&root, |manifest| manifest.seen = (0..65_536).map(absent).collect());
        }),
        case("a chain of 2,000 snapshots", Outcome::Harmless, |evil| {
            let root = tree(evil);
            let mut previous = None;
            for _ in 0..2000 {
                previous = Some(evil.snapshot(&root, |manifest| manifest.previous = previous));
            }
        }),
        case("a snapshot signed by nobody", Outcome::Told, |evil| {
            let signed = vellum::format::history::SignedRecord {
                manifest: vellum::format::Bytes(vec![0xa0]),
                certificate: vellum::format::Bytes(evil.device().as_bytes().to_vec()),
                certificate_signature: vellum::format::FixedBytes([0; 64]),
                signature: vellum::format::FixedBytes([0; 64]),
            };
            assert_ne!(evil.device(), DeviceId::from_bytes([0; 16]), "a device has an id");
            evil.signed_snapshot(&signed);
        }),
    ]
}

/// Names and files where objects should lie.
fn places() -> Vec<Case> {
    vec![
        case("20,000 names that are none", Outcome::Harmless, |evil| {
            for number in 0..20_000 {
                let folder = evil.path_of(&ObjectName::new(ObjectKind::Snapshot, ObjectId::of(b"")));
                fs::write(folder.with_file_name(format!("{number:064}x")), b"").expect("a file");
            }
        }),
        case("5,000 snapshots of no bytes", Outcome::Told, |evil| {
            for number in 0..5_000u32 {
                evil.put_as(ObjectKind::Snapshot, ObjectId::of(&number.to_le_bytes()), b"");
            }
        }),
        case("1 TiB of nothing in place of each object", Outcome::Told, |evil| {
            for name in one_of_each(evil) {
                let other = ObjectName::new(name.kind, ObjectId::of(b"immense"));
                evil.put_as(name.kind, other.id, b"");
                let file = fs::OpenOptions::new().write(true).open(evil.path_of(&other)).expect("a file");
                file.set_len(1 << 40).expect("a file system with holes");
            }
        }),
        case("pipes, links and folders in place of objects", Outcome::Harmless, |evil| {
            for name in one_of_each(evil) {
                for (number, what) in
                    [&b"pipe"[..], b"link", b"endless", b"dangling", b"folder"].into_iter().enumerate()
                {
                    let path = evil.path_of(&ObjectName::new(name.kind, ObjectId::of(what)));
                    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                    match number {
                        0 => rustix::fs::mknodat(
                            rustix::fs::CWD,
                            &path,
                            rustix::fs::FileType::Fifo,
                            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                            0,
                        )
                        .expect("a pipe"),
                        1 => std::os::unix::fs::symlink(evil.path_of(&name), &path).expect("a link"),
                        2 => std::os::unix::fs::symlink("/dev/zero", &path).expect("a link"),
                        3 => std::os::unix::fs::symlink("nowhere", &path).expect("a link"),
                        _ => fs::create_dir(&path).expect("a folder"),
                    }
                }
            }
        }),
        case("pipes where the objects were", Outcome::Shut, |evil| {
            for kind in [ObjectKind::Config, ObjectKind::ConfigMirror] {
                for name in evil.names(kind) {
                    let path = evil.path_of(&name);
                    fs::remove_file(&path).expect("an object");
                    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                    let made = rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0);
                    made.expect("a pipe");
                }
            }
        }),
    ]
}
