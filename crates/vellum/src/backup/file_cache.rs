//! What the last backup of these roots saw, so that an unchanged file need not be read again.
//!
//! A local file of sealed blocks, one a folder, and a sealed table of where each folder's block stands. It may be
//! deleted, replaced by an older one or scrambled at any time: a block that does not open is a folder without
//! memory, and an older one only remembers less that still holds.
//!
//! I5: an entry is taken from here only when its identity (length, mtime, ctime, inode, device) is the same, the
//! entry was not younger than the resolution of its clock when it was recorded, and every chunk that it names is
//! known to be stored: because every catalog that listed them is still there, or because each was looked up.

use super::roots::Roots;
use crate::lock;
use crate::platform::{Identity, Stat};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;
use vellum_faults::{Point, reach};
use vellum_format::ObjectId;
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{Entry, EntryName};
use vellum_repository::Repository;

const LABEL: &str = "file-cache";
const FOOTER_LEN: usize = 16;
const IDENTITY_LEN: usize = 48;
const KEY_LEN: usize = 16;
const PLACE_LEN: usize = KEY_LEN + 12;

/// A change within this time of another may leave the same timestamps behind.
const FINE_CLOCK_NANOS: i128 = 100_000_000;
/// The same for file systems that keep whole seconds, of which FAT keeps only even ones.
const COARSE_CLOCK_NANOS: i128 = 2_000_000_000;

/// What is remembered of one entry.
pub(crate) struct CacheRecord(Identity);

impl CacheRecord {
    /// What to remember of an entry that was looked at just now, unless another change could hide behind the same
    /// timestamps.
    pub(crate) fn settled(stat: &Stat) -> Option<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let now = i128::try_from(now.as_nanos()).ok()?;
        let changed = i128::from(stat.changed.seconds) * 1_000_000_000 + i128::from(stat.changed.nanoseconds);
        let resolution = if stat.changed.nanoseconds == 0 { COARSE_CLOCK_NANOS } else { FINE_CLOCK_NANOS };
        (changed < now - resolution).then(|| Self(stat.identity()))
    }
}

/// The entries that the last backup remembered of one folder.
#[derive(Default)]
pub(crate) struct CachedFolder {
    entries: BTreeMap<EntryName, (Identity, Entry)>,
}

impl CachedFolder {
    /// The entry as it was, if it was there.
    pub(crate) fn get(&self, name: &EntryName) -> Option<&Entry> {
        self.entries.get(name).map(|(_, entry)| entry)
    }

    /// The entry as it was, if it is still the same.
    pub(crate) fn unchanged(&self, name: &EntryName, stat: &Stat) -> Option<&Entry> {
        self.entries.get(name).filter(|(identity, _)| *identity == stat.identity()).map(|(_, entry)| entry)
    }
}

/// The memory of the last backup, opened for reading.
pub(crate) struct FileCache {
    file: File,
    key: [u8; 32],
    places: Vec<u8>,
    /// Whether everything that was stored then is stored now.
    pub(crate) is_complete: bool,
}

impl FileCache {
    /// Opens the memory of these roots, if there is one that can be used.
    pub(crate) fn open(repository: &Repository, roots: &Roots) -> Option<Self> {
        let file = File::open(path(repository, roots)?).ok()?;
        let len = file.metadata().ok()?.len();
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(&mut footer, len.checked_sub(FOOTER_LEN as u64)?).ok()?;
        let (start, table_len) = footer.split_first_chunk::<8>()?;
        let start = u64::from_le_bytes(*start);
        let table_len = u64::from_le_bytes(table_len.try_into().ok()?);
        if start.checked_add(table_len)? != len - FOOTER_LEN as u64 {
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
        Some(Self { file, key: folder_key(repository), places, is_complete })
    }

    /// What is remembered of a folder; nothing when there is none or its block cannot be used.
    pub(crate) fn folder(&self, repository: &Repository, folder: &[u8]) -> CachedFolder {
        self.block(repository, folder).and_then(|block| decode_block(&block)).unwrap_or_default()
    }

    fn block(&self, repository: &Repository, folder: &[u8]) -> Option<Vec<u8>> {
        let wanted = key_of(&self.key, folder);
        let (mut low, mut high) = (0, self.places.len() / PLACE_LEN);
        while low < high {
            let middle = low.midpoint(high);
            let place = self.places.get(middle * PLACE_LEN..(middle + 1) * PLACE_LEN)?;
            match place[..KEY_LEN].cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let start = u64::from_le_bytes(place[KEY_LEN..KEY_LEN + 8].try_into().ok()?);
                    let len = u32::from_le_bytes(place[KEY_LEN + 8..].try_into().ok()?);
                    if u64::from(len) > self.file.metadata().ok()?.len() {
                        return None;
                    }
                    let mut sealed = vec![0; len as usize];
                    self.file.read_exact_at(&mut sealed, start).ok()?;
                    return repository.open_local(LABEL, &sealed);
                }
            }
        }
        None
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

    /// Remembers a folder. A failure to write ends the memory, never the backup.
    pub(crate) fn add<'e>(
        &self,
        repository: &Repository,
        folder: &[u8],
        records: impl Iterator<Item = (&'e Entry, &'e CacheRecord)>,
    ) {
        let mut block = Vec::new();
        for (entry, CacheRecord(identity)) in records {
            encode_identity(identity, &mut block);
            entry.encode_into(&mut block);
        }
        if block.is_empty() {
            return;
        }
        let Ok(sealed) = repository.seal_local(LABEL, &block) else { return };
        let Ok(len) = u32::try_from(sealed.len()) else { return };
        let mut guard = lock(&self.state);
        let Some(state) = guard.as_mut() else { return };
        let mut place = [0; PLACE_LEN];
        place[..KEY_LEN].copy_from_slice(&key_of(&self.key, folder));
        place[KEY_LEN..KEY_LEN + 8].copy_from_slice(&state.at.to_le_bytes());
        place[KEY_LEN + 8..].copy_from_slice(&len.to_le_bytes());
        if state.file.write_all(&sealed).is_err() {
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

fn path(repository: &Repository, roots: &Roots) -> Option<PathBuf> {
    let folder = repository.state_folder()?.join("files");
    let name = blake3::keyed_hash(&repository.local_hash_key("file-cache-name"), &roots.identity());
    Some(folder.join(&name.to_hex()[..32]))
}

fn folder_key(repository: &Repository) -> [u8; 32] {
    repository.local_hash_key("file-cache-folder")
}

fn key_of(key: &[u8; 32], folder: &[u8]) -> [u8; KEY_LEN] {
    let hash = blake3::keyed_hash(key, folder);
    *hash.as_bytes().first_chunk().expect("a hash is longer than a key")
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

fn decode_block(mut block: &[u8]) -> Option<CachedFolder> {
    let mut folder = CachedFolder::default();
    while !block.is_empty() {
        let (identity, rest) = block.split_at_checked(IDENTITY_LEN)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let entry = Entry::decode(entry).ok()?;
        folder.entries.insert(entry.name.clone(), (decode_identity(identity)?, entry));
        block = rest;
    }
    Some(folder)
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
