//! Catalogs made from a seed, and a plain model of what an index over them must answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use vellum_format::catalog::{Catalog, CatalogedPack};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackedChunk};
use vellum_format::{ChunkId, ObjectId};
use vellum_index::{Index, Location, StateFolder};

pub(crate) const KEY: [u8; 32] = [7; 32];

/// A small deterministic generator (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).expect("below a 32-bit bound")
    }

    /// A place in something of this length.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % len as u64).expect("below a length")
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

pub(crate) fn object_id(number: u64) -> ObjectId {
    ObjectId::of(&number.to_le_bytes())
}

/// Every 32nd id shares its first 8 bytes with others, so that fences and blocks meet equal prefixes.
pub(crate) fn chunk_id(number: u32) -> ChunkId {
    let mut bytes = *ObjectId::of(&number.to_le_bytes()).as_bytes();
    if number.is_multiple_of(32) {
        bytes[..8].copy_from_slice(&[(number % 3) as u8 * 100; 8]);
    }
    ChunkId::from_bytes(bytes)
}

/// The shape of made-up catalogs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) packs: u32,
    pub(crate) frames: u32,
    pub(crate) chunks: u32,
    /// Chunk ids are drawn from the first so many: few make duplicates.
    pub(crate) ids: u32,
}

/// The catalog of this number; the same number always gives the same catalog.
pub(crate) fn catalog(number: u64, shape: Shape) -> (ObjectId, Catalog) {
    let mut random = Random(number);
    let packs = (0..shape.packs).map(|pack| CatalogedPack {
        // The last pack of each catalog is the first of the next.
        pack: object_id((number * u64::from(shape.packs.max(2) - 1) + u64::from(pack)) | 1 << 40),
        len_bytes: 1 << 20,
        directory: directory(&mut random, shape),
    });
    let mut catalog = Catalog { packs: packs.collect() };
    share_edges(&mut catalog, number, shape);
    (object_id(number), catalog)
}

/// Gives the first and last pack a directory that depends on their names only, as real packs have.
fn share_edges(catalog: &mut Catalog, number: u64, shape: Shape) {
    if let Some(first) = catalog.packs.first_mut() {
        first.directory = directory(&mut Random(!number), shape);
    }
    if let Some(last) = catalog.packs.last_mut().filter(|_| shape.packs > 1) {
        last.directory = directory(&mut Random(!(number + 1)), shape);
    }
}

fn directory(random: &mut Random, shape: Shape) -> Directory {
    let wraps =
        (0..2).map(|_| KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: random.next().to_le_bytes().repeat(14) });
    let wraps: Vec<KeyWrap> = wraps.collect();
    let mut offset = 80;
    let frames = (0..random.below(shape.frames + 1)).map(|_| {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&random.next().to_le_bytes());
        let chunks = (0..1 + random.below(shape.chunks))
            .map(|_| PackedChunk { id: chunk_id(random.below(shape.ids)), len_bytes: 1 + random.below(9000) });
        let chunks = chunks.collect();
        let stored_len_bytes = 48 + random.below(5000);
        offset += stored_len_bytes;
        Frame {
            offset: offset - stored_len_bytes,
            stored_len_bytes,
            wrap: u16::from(random.below(2) == 1),
            kind: [ChunkKind::Data, ChunkKind::Tree, ChunkKind::List][random.below(3) as usize],
            compression: [Compression::None, Compression::Zstd][random.below(2) as usize],
            salt,
            chunks,
        }
    });
    Directory { frames: frames.collect(), wraps }
}

/// One copy of a chunk, told without the index's own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pack: ObjectId,
    pack_len_bytes: u64,
    frame: Frame,
    wrap: KeyWrap,
    offset_in_frame: u32,
    len_bytes: u32,
}

/// What was added by one call of `add`, the newest last.
pub(crate) type Batch = Vec<(ObjectId, Catalog)>;

/// A plain index over batches, the newest last.
#[derive(Default, Clone)]
pub(crate) struct Model {
    pub(crate) batches: Vec<Batch>,
    pub(crate) absent: BTreeSet<ObjectId>,
    /// Packs that a catalog listed which was forgotten: if another lists them too, they are as new as either.
    pub(crate) moving: BTreeSet<ObjectId>,
}

impl Model {
    /// Every usable copy of every chunk, the newest first.
    pub(crate) fn copies(&self) -> BTreeMap<ChunkId, Vec<Copy>> {
        let mut copies: BTreeMap<ChunkId, Vec<Copy>> = BTreeMap::new();
        let mut told = self.absent.clone();
        for batch in self.batches.iter().rev() {
            let packs = batch.iter().flat_map(|(_, catalog)| &catalog.packs);
            let mut new = BTreeSet::new();
            let packs: Vec<_> = packs.filter(|pack| !told.contains(&pack.pack) && new.insert(pack.pack)).collect();
            for pack in packs.iter().rev() {
                pack_copies(pack, &mut copies);
            }
            told.extend(new);
        }
        copies
    }
}

fn pack_copies(pack: &CatalogedPack, copies: &mut BTreeMap<ChunkId, Vec<Copy>>) {
    for frame in pack.directory.frames.iter().rev() {
        let mut end = frame.plain_len_bytes();
        for chunk in frame.chunks.iter().rev() {
            end -= chunk.len_bytes;
            copies.entry(chunk.id).or_default().push(Copy {
                pack: pack.pack,
                pack_len_bytes: pack.len_bytes,
                wrap: pack.directory.wraps[usize::from(frame.wrap)].clone(),
                frame: Frame { chunks: Vec::new(), wrap: 0, ..frame.clone() },
                offset_in_frame: end,
                len_bytes: chunk.len_bytes,
            });
        }
    }
}

/// What the index says of a place, told without its own numbers; nothing when the frame cannot be told.
pub(crate) fn told(index: &Index, location: &vellum_index::Location) -> Option<Copy> {
    let info = index.frame(location.frame)?;
    assert_eq!(info.pack, location.pack);
    assert!(location.offset_in_frame + location.len_bytes <= info.plain_len_bytes);
    let frame = Frame {
        offset: info.offset,
        stored_len_bytes: info.stored_len_bytes,
        wrap: 0,
        kind: info.kind,
        compression: info.compression,
        salt: info.salt,
        chunks: Vec::new(),
    };
    Some(Copy {
        pack: info.pack,
        pack_len_bytes: info.pack_len_bytes,
        frame,
        wrap: (*info.wrap).clone(),
        offset_in_frame: location.offset_in_frame,
        len_bytes: location.len_bytes,
    })
}

/// Asserts that copies are told as expected, but for the rank of those in packs that may be as new as any other.
fn assert_same(told: &[Copy], expected: &[Copy], moving: &BTreeSet<ObjectId>) {
    let ranked = |copies: &[Copy]| copies.iter().filter(|copy| !moving.contains(&copy.pack)).cloned().collect();
    let (ranked_told, ranked_expected): (Vec<Copy>, Vec<Copy>) = (ranked(told), ranked(expected));
    assert_eq!(ranked_told, ranked_expected);
    assert!(told.len() == expected.len() && expected.iter().all(|copy| told.contains(copy)));
}

/// Asserts that the index answers exactly as the model, for the chunks numbered below `ids`.
pub(crate) fn assert_agrees(index: &Index, model: &Model, ids: u32) {
    let copies = model.copies();
    for id in (0..ids).map(chunk_id) {
        let expected = copies.get(&id).map_or(&[][..], Vec::as_slice);
        let newest = index.lookup(&id).map(|location| told(index, &location).expect("an undamaged frame"));
        assert_eq!(index.contains(&id), !expected.is_empty());
        let all: Vec<Copy> = index.all_locations(&id).iter().filter_map(|location| told(index, location)).collect();
        assert_eq!(newest.as_ref(), all.first());
        assert_same(&all, expected, &model.moving);
    }
    // Many at once, in ascending order or any other, are told what each is told alone.
    let mut ids: Vec<ChunkId> = (0..ids).map(chunk_id).collect();
    for _ in 0..2 {
        let alone = |lookup: fn(&Index, &ChunkId) -> Option<Location>| ids.iter().map(|id| lookup(index, id)).collect();
        let (newest, reliable): (Vec<_>, Vec<_>) = (alone(Index::lookup), alone(Index::lookup_reliable));
        assert_eq!((index.lookup_each(&ids), index.lookup_reliable_each(&ids)), (newest, reliable));
        ids.sort();
    }
}

/// Asserts that whatever the index answers is true, and returns how many of the chunks it knew.
pub(crate) fn assert_never_wrong(index: &Index, copies: &BTreeMap<ChunkId, Vec<Copy>>, ids: u32) -> usize {
    let mut known = 0;
    for id in (0..ids).map(chunk_id) {
        for location in index.all_locations(&id).iter().chain(&index.lookup(&id)) {
            let true_ones = copies.get(&id).map_or(&[][..], Vec::as_slice);
            assert!(true_ones.iter().any(|copy| copy.pack == location.pack
                && (copy.offset_in_frame, copy.len_bytes) == (location.offset_in_frame, location.len_bytes)));
            if let Some(told) = told(index, location) {
                assert!(true_ones.contains(&told), "a wrong place for {id}");
            }
            known += 1;
        }
    }
    known
}

pub(crate) fn open(folder: &Path) -> Index {
    Index::open(&StateFolder::At(folder.to_owned()), &KEY)
}

/// A folder in memory where there is one: the database syncs, and thousands of syncs take minutes.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a temporary folder")
}

pub(crate) fn segment_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder.join("segments")).expect("the folder of segments");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Copies a state folder as it is, as a backup of the machine would.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir_all(to.join("segments")).expect("a folder");
    for file in segment_files(from).iter().chain([&from.join("state.redb")]) {
        let name = file.strip_prefix(from).expect("a file of the folder");
        std::fs::copy(file, to.join(name)).expect("a copy");
    }
}
