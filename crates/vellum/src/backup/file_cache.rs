//! What the last backup of these roots saw, so that an unchanged file need not be read again.
//!
//! A local file of sealed blocks and a sealed table of where each stands. A folder has one block, or several when it
//! has many entries; the records in them stand in the order of names, so that a walk compares by merging and neither
//! a folder nor the file is ever in memory whole. The file may be deleted, replaced by an older one or scrambled at any
//! time: a block that does not open is a folder without memory, and an older one only remembers less that still holds.
//!
//! I5: an entry is taken from here only when its identity (length, mtime, ctime, inode, device) is the same, the
//! entry was not younger than the resolution of its clock when it was recorded, and every chunk that it names is
//! known to be stored: because every catalog that listed them is still there, or because each was looked up.

use super::roots::Roots;
use crate::lock;
use crate::platform::{Identity, Stat};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use vellum_faults::{Point, reach};
use vellum_format::ObjectId;
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{Entry, EntryName, encoded_name};
use vellum_repository::Repository;

const LABEL: &str = "file-cache";
const FOOTER_LEN: usize = 16;
const IDENTITY_LEN: usize = 48;
/// What stands for a folder's path.
type FolderKey = [u8; 12];
/// That and the number of the block.
const KEY_LEN: usize = 16;
const PLACE_LEN: usize = KEY_LEN + 12;
/// What the records of one entry have before it: identity and the entry's own length.
const RECORD_HEAD_LEN: usize = IDENTITY_LEN + 4;

/// A block that has come to this length is sealed, and the folder goes on in another.
const BLOCK_LEN_BYTES: usize = 1 << 20;

/// A change within this time of another may leave the same timestamps behind.
const FINE_CLOCK_NANOS: i128 = 100_000_000;
/// The same for file systems that keep whole seconds, of which FAT keeps only even ones.
const COARSE_CLOCK_NANOS: i128 = 2_000_000_000;

/// What is remembered of one entry.
pub(crate) struct CacheRecord(Identity);

impl CacheRecord {
    /// What to remember of an entry that was looked at then or later, unless another change could hide behind the same
    /// timestamps.
    pub(crate) fn settled(stat: &Stat, looked_at: SystemTime) -> Option<Self> {
        let now = looked_at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let now = i128::try_from(now.as_nanos()).ok()?;
        let changed = i128::from(stat.changed.seconds) * 1_000_000_000 + i128::from(stat.changed.nanoseconds);
        let resolution = if stat.changed.nanoseconds == 0 { COARSE_CLOCK_NANOS } else { FINE_CLOCK_NANOS };
        (changed < now - resolution).then(|| Self(stat.identity()))
    }
}

/// One block, opened, beside its sealed form, which stays right as long as nothing in it changes.
struct Block {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// An entry as it was remembered, which still holds.
pub(crate) struct Kept {
    block: Arc<Block>,
    start: usize,
    end: usize,
}

impl Kept {
    /// The encoded entry with its length before it, as it stands in a tree.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.record()[IDENTITY_LEN..]
    }

    /// The entry itself.
    pub(crate) fn entry(&self) -> Option<Entry> {
        Entry::decode(&self.record()[RECORD_HEAD_LEN..]).ok()
    }

    fn record(&self) -> &[u8] {
        &self.block.plain[self.start..self.end]
    }
}

/// What is remembered of a name.
pub(crate) enum Remembered {
    /// It was not there.
    Nothing,
    /// It was there and is another now.
    Changed,
    /// It is the same.
    Same(Kept),
}

/// What the last backup remembered of one folder, asked name by name in their order.
#[derive(Default)]
pub(crate) struct CachedFolder {
    key: FolderKey,
    blocks: u32,
    block: Option<Arc<Block>>,
    at: usize,
}

impl CachedFolder {
    /// What is remembered of this name. Names must be asked in ascending order; those in between may be left out.
    pub(crate) fn look(&mut self, cache: &FileCache<'_>, name: &EntryName, stat: &Stat) -> Remembered {
        while let Some(block) = &self.block {
            let Some((end, found)) = record_at(&block.plain, self.at) else {
                self.next_block(cache);
                continue;
            };
            if found > name.as_bytes() {
                return Remembered::Nothing;
            }
            let start = std::mem::replace(&mut self.at, end);
            if found == name.as_bytes() {
                let identity = decode_identity(&block.plain[start..]);
                let is_same = identity.is_some_and(|identity| identity == stat.identity());
                let kept = || Kept { block: Arc::clone(block), start, end };
                return if is_same { Remembered::Same(kept()) } else { Remembered::Changed };
            }
        }
        Remembered::Nothing
    }

    fn next_block(&mut self, cache: &FileCache<'_>) {
        self.block = cache.block(&self.key, self.blocks).map(Arc::new);
        self.blocks += 1;
        self.at = 0;
    }
}

/// Where the record that starts at `at` ends, and the name of its entry.
fn record_at(block: &[u8], at: usize) -> Option<(usize, &[u8])> {
    let (len, rest) = block.get(at + IDENTITY_LEN..)?.split_first_chunk::<4>()?;
    let entry = rest.get(..u32::from_le_bytes(*len) as usize)?;
    Some((at + RECORD_HEAD_LEN + entry.len(), encoded_name(entry)?))
}

/// The memory of the last backup, opened for reading.
pub(crate) struct FileCache<'r> {
    repository: &'r Repository,
    file: File,
    len_bytes: u64,
    key: [u8; 32],
    places: Vec<u8>,
    /// Whether everything that was stored then is stored now.
    pub(crate) is_complete: bool,
}

impl<'r> FileCache<'r> {
    /// Opens the memory of these roots, if there is one that can be used.
    pub(crate) fn open(repository: &'r Repository, roots: &Roots) -> Option<Self> {
        let file = File::open(path(repository, roots)?).ok()?;
        let len_bytes = file.metadata().ok()?.len();
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(&mut footer, len_bytes.checked_sub(FOOTER_LEN as u64)?).ok()?;
        let (start, table_len) = footer.split_first_chunk::<8>()?;
        let start = u64::from_le_bytes(*start);
        let table_len = u64::from_le_bytes(table_len.try_into().ok()?);
        if start.checked_add(table_len)? != len_bytes - FOOTER_LEN as u64 {
            return None;
        }
        let mut sealed = vec![0; usize::try_from(table_len).ok()?];
        file.read_exact_at(&mut sealed, start).ok()?;
        let table = repository.open_local(LABEL, &sealed)?;
        let (catalog_count, rest) = table.split_first_chunk::<4>()?;
        let catalogs_len = usize::try_from(u32::from_le_bytes(*catalog_count)).ok()?.checked_mul(ObjectId::LEN)?;
        let (catalogs, places) = rest.split_at_checked(catalogs_len)?;
        let catalogs =
            catalogs.chunks_exact(ObjectId::LEN).filter_map(|id| Some(ObjectId::from_bytes(id.try_into().ok()?)));
        let is_complete = repository.holds_all(catalogs);
        let places = places.chunks_exact(PLACE_LEN).flatten().copied().collect();
        Some(Self { repository, file, len_bytes, key: folder_key(repository), places, is_complete })
    }

    /// What is remembered of a folder; nothing when there is none or its first block cannot be used.
    pub(crate) fn folder(&self, folder: &[u8]) -> CachedFolder {
        let mut cached = CachedFolder { key: key_of(&self.key, folder), ..CachedFolder::default() };
        cached.next_block(self);
        cached
    }

    fn block(&self, folder: &FolderKey, number: u32) -> Option<Block> {
        let wanted = place_key(folder, number);
        let (mut low, mut high) = (0, self.places.len() / PLACE_LEN);
        while low < high {
            let middle = low.midpoint(high);
            let place = self.places.get(middle * PLACE_LEN..(middle + 1) * PLACE_LEN)?;
            match place[..KEY_LEN].cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.block_at(place),
            }
        }
        None
    }

    fn block_at(&self, place: &[u8]) -> Option<Block> {
        let start = u64::from_le_bytes(place[KEY_LEN..KEY_LEN + 8].try_into().ok()?);
        let len = u32::from_le_bytes(place[KEY_LEN + 8..].try_into().ok()?);
        if u64::from(len) > self.len_bytes {
            return None;
        }
        let mut sealed = vec![0; len as usize];
        self.file.read_exact_at(&mut sealed, start).ok()?;
        let plain = self.repository.open_local(LABEL, &sealed)?;
        Some(Block { plain, sealed })
    }
}

/// The memory of a backup that is running.
pub(crate) struct CacheWriter {
    temporary: PathBuf,
    path: PathBuf,
    key: [u8; 32],
    state: Mutex<Option<WriterState>>,
}

struct WriterState {
    file: BufWriter<File>,
    at: u64,
    places: Vec<[u8; PLACE_LEN]>,
}

impl CacheWriter {
    /// Starts a new memory, if local state is kept and can be written.
    pub(crate) fn create(repository: &Repository, roots: &Roots) -> Option<Self> {
        let path = path(repository, roots)?;
        std::fs::create_dir_all(path.parent()?).ok()?;
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let file = BufWriter::new(File::create(&temporary).ok()?);
        let state = Mutex::new(Some(WriterState { file, at: 0, places: Vec::new() }));
        Some(Self { temporary, path, key: folder_key(repository), state })
    }

    /// Starts to remember a folder.
    pub(crate) fn folder(&self, folder: &[u8]) -> FolderMemory {
        FolderMemory { key: key_of(&self.key, folder), ..FolderMemory::default() }
    }

    /// A failure to write ends the memory, never the backup.
    fn add(&self, key: &FolderKey, number: u32, sealed: &[u8]) {
        let Ok(len) = u32::try_from(sealed.len()) else { return };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return };
        let mut place = [0; PLACE_LEN];
        place[..KEY_LEN].copy_from_slice(&place_key(key, number));
        place[KEY_LEN..KEY_LEN + 8].copy_from_slice(&state.at.to_le_bytes());
        place[KEY_LEN + 8..].copy_from_slice(&len.to_le_bytes());
        if state.file.write_all(sealed).is_err() {
            *guard = None;
            return;
        }
        state.at += u64::from(len);
        state.places.push(place);
    }

    /// Makes this the memory for the next backup; called when its snapshot is published.
    pub(crate) fn publish(&self, repository: &Repository) {
        let state = lock(&self.state).take();
        let Some(WriterState { mut file, at, mut places }) = state else { return };
        places.sort_unstable();
        let catalogs = repository.catalogs();
        let Ok(count) = u32::try_from(catalogs.len()) else { return };
        let mut table = count.to_le_bytes().to_vec();
        catalogs.iter().for_each(|id| table.extend_from_slice(id.as_bytes()));
        places.iter().for_each(|place| table.extend_from_slice(place));
        let Ok(sealed) = repository.seal_local(LABEL, &table) else { return };
        let mut end = sealed;
        let table_len = end.len() as u64;
        end.extend_from_slice(&at.to_le_bytes());
        end.extend_from_slice(&table_len.to_le_bytes());
        let written =
            file.write_all(&end).and_then(|()| file.flush()).and_then(|()| reach(Point::FileCacheBeforeRename));
        if written.is_ok() {
            // Losing the memory only costs time, so nothing is synced and a failure is none.
            drop(std::fs::rename(&self.temporary, &self.path));
            drop(reach(Point::FileCachePublished));
        }
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        // Already renamed after a published backup; removing nothing is fine.
        drop(std::fs::remove_file(&self.temporary));
    }
}

/// What is remembered of a folder whose entries are still coming in, in their order.
#[derive(Default)]
pub(crate) struct FolderMemory {
    key: FolderKey,
    blocks: u32,
    plain: Vec<u8>,
    /// The block of the last backup that `plain` repeats from its start, as far as it has come.
    repeated: Option<Arc<Block>>,
}

impl FolderMemory {
    /// Remembers an entry again that is as it was.
    pub(crate) fn keep(&mut self, kept: &Kept, writer: &CacheWriter, repository: &Repository) {
        let begins = self.plain.is_empty() && kept.start == 0;
        let goes_on = self.repeated.as_ref().is_some_and(|block| Arc::ptr_eq(block, &kept.block))
            && kept.start == self.plain.len();
        self.repeated = (begins || goes_on).then(|| Arc::clone(&kept.block));
        self.plain.extend_from_slice(kept.record());
        self.settle(writer, repository);
    }

    /// Remembers an entry that was looked at in this run.
    pub(crate) fn remember(
        &mut self,
        encoded: &[u8],
        CacheRecord(identity): &CacheRecord,
        writer: &CacheWriter,
        repository: &Repository,
    ) {
        self.repeated = None;
        encode_identity(identity, &mut self.plain);
        self.plain.extend_from_slice(encoded);
        self.settle(writer, repository);
    }

    fn settle(&mut self, writer: &CacheWriter, repository: &Repository) {
        if self.plain.len() >= BLOCK_LEN_BYTES {
            self.finish(writer, repository);
        }
    }

    /// Seals what has come in since the last block.
    pub(crate) fn finish(&mut self, writer: &CacheWriter, repository: &Repository) {
        if self.plain.is_empty() {
            return;
        }
        match self.repeated.take().filter(|block| block.plain.len() == self.plain.len()) {
            Some(block) => writer.add(&self.key, self.blocks, &block.sealed),
            None => match repository.seal_local(LABEL, &self.plain) {
                Ok(sealed) => writer.add(&self.key, self.blocks, &sealed),
                // It is tried again with the next entry.
                Err(_) => return,
            },
        }
        self.blocks += 1;
        self.plain.clear();
    }
}

fn path(repository: &Repository, roots: &Roots) -> Option<PathBuf> {
    let folder = repository.state_folder()?.join("files");
    let name = blake3::keyed_hash(&repository.local_hash_key("file-cache-name"), &roots.identity());
    Some(folder.join(&name.to_hex()[..32]))
}

fn folder_key(repository: &Repository) -> [u8; 32] {
    repository.local_hash_key("file-cache-folder")
}

fn key_of(key: &[u8; 32], folder: &[u8]) -> FolderKey {
    let hash = blake3::keyed_hash(key, folder);
    *hash.as_bytes().first_chunk().expect("a hash is longer than a key")
}

fn place_key(folder: &FolderKey, number: u32) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..folder.len()].copy_from_slice(folder);
    key[folder.len()..].copy_from_slice(&number.to_le_bytes());
    key
}

fn encode_identity(identity: &Identity, out: &mut Vec<u8>) {
    let Identity { len_bytes, modified, changed, inode, device } = identity;
    out.extend_from_slice(&len_bytes.to_le_bytes());
    for time in [modified, changed] {
        out.extend_from_slice(&time.seconds.to_le_bytes());
        out.extend_from_slice(&time.nanoseconds.to_le_bytes());
    }
    out.extend_from_slice(&inode.to_le_bytes());
    out.extend_from_slice(&device.to_le_bytes());
}

fn decode_identity(bytes: &[u8]) -> Option<Identity> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let time = |at: usize| {
        let seconds = i64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?);
        let nanoseconds = u32::from_le_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?);
        Some(Timestamp { seconds, nanoseconds })
    };
    Some(Identity {
        len_bytes: number(0)?,
        modified: time(8)?,
        changed: time(20)?,
        inode: number(32)?,
        device: number(40)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_come_back() {
        let identity = Identity {
            len_bytes: 1,
            modified: Timestamp { seconds: -2, nanoseconds: 3 },
            changed: Timestamp { seconds: 4, nanoseconds: 5 },
            inode: 6,
            device: 7,
        };
        let mut bytes = Vec::new();
        encode_identity(&identity, &mut bytes);
        assert_eq!(bytes.len(), IDENTITY_LEN);
        assert_eq!(decode_identity(&bytes), Some(identity));
        assert!(decode_identity(&bytes[..IDENTITY_LEN - 1]).is_none());
    }
}
