//! The small redb database of what changes: which segments count and which of their catalogs do not,
//! and a few values of the caller.
//!
//! redb lets one process at a time in, so the database is open only for the length of one transaction. Every row
//! carries a tag: redb's checksums find accidents, the tag also finds rows of another key or place. // N2

use crate::key::{LocalKey, SegmentId, TAG_LEN};
use redb::{Database, ReadableTable, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SEGMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");
const FORGOTTEN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("forgotten");
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

const CACHE_LEN_BYTES: usize = 16 << 20;
const LOCK_ATTEMPTS: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Why the database could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Other processes kept it for all of the waiting time, about a second.
    Locked,
    /// The system refused to read or write.
    Unwritable,
    /// The content is not what redb wrote. It is deleted, so no caller sees this.
    Damaged,
}

pub(crate) struct State {
    path: PathBuf,
    key: LocalKey,
    emptied: AtomicBool,
}

impl State {
    pub(crate) const fn new(path: PathBuf, key: LocalKey) -> Self {
        Self { path, key, emptied: AtomicBool::new(false) }
    }

    /// Whether a damaged database was deleted since this was made.
    pub(crate) fn was_emptied(&self) -> bool {
        self.emptied.load(Ordering::Relaxed)
    }

    /// Runs `work` in one transaction, once more from empty if the database is damaged, and commits what it changed.
    pub(crate) fn update<T>(
        &self,
        mut work: impl FnMut(&mut Rows<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, Failure> {
        let mut emptied = false;
        for _ in 0..LOCK_ATTEMPTS {
            // redb asserts in debug builds what only a damaged file can break; that must not end a backup. // N3
            let done = catch_unwind(AssertUnwindSafe(|| self.transact(&mut work))).unwrap_or(Err(Failure::Damaged));
            match done {
                Err(Failure::Locked) => std::thread::sleep(LOCK_PAUSE),
                Err(Failure::Damaged) if !emptied => {
                    std::fs::remove_file(&self.path).map_err(|_| Failure::Unwritable)?;
                    emptied = true;
                    self.emptied.store(true, Ordering::Relaxed);
                }
                Err(Failure::Damaged) => return Err(Failure::Unwritable),
                done => return done,
            }
        }
        Err(Failure::Locked)
    }

    fn transact<T>(&self, work: &mut impl FnMut(&mut Rows<'_>) -> Result<T, redb::Error>) -> Result<T, Failure> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_LEN_BYTES).set_check_integrity_on_open(true);
        let database = builder.create(&self.path).map_err(failure)?;
        let transaction = database.begin_write().map_err(failure)?;
        let (result, changed) = {
            let segments = transaction.open_table(SEGMENTS).map_err(failure)?;
            let forgotten = transaction.open_table(FORGOTTEN).map_err(failure)?;
            let values = transaction.open_table(VALUES).map_err(failure)?;
            let mut rows = Rows { segments, forgotten, values, key: &self.key, changed: false };
            (work(&mut rows).map_err(failure)?, rows.changed)
        };
        if changed {
            transaction.commit().map_err(failure)?;
        } else {
            transaction.abort().map_err(failure)?;
        }
        Ok(result)
    }
}

/// The rows of the database inside one transaction.
pub(crate) struct Rows<'t> {
    segments: redb::Table<'t, u64, &'static [u8]>,
    forgotten: redb::Table<'t, &'static [u8], &'static [u8]>,
    values: redb::Table<'t, &'static str, &'static [u8]>,
    key: &'t LocalKey,
    changed: bool,
}

impl Rows<'_> {
    /// The recorded segments, the oldest first. Rows that do not verify are left out.
    pub(crate) fn segments(&self) -> Result<Vec<(u64, SegmentId)>, redb::Error> {
        let mut segments = Vec::new();
        for row in self.segments.iter()? {
            let (number, row) = row?;
            if let Some(id) = self.verified(&segment_row(number.value()), row.value()) {
                segments.extend(id.try_into().map(|id| (number.value(), SegmentId(id))));
            }
        }
        Ok(segments)
    }

    /// Records a segment as the newest.
    pub(crate) fn push_segment(&mut self, id: SegmentId) -> Result<(), redb::Error> {
        let last = self.segments.last()?.map(|(number, _)| number.value());
        let number = match last {
            None => 0,
            Some(last) => last.checked_add(1).ok_or_else(|| redb::Error::Corrupted("row number".into()))?,
        };
        self.put_segment(number, id)
    }

    /// Records a segment in place of these, the newest first; false when they are not recorded one after the other.
    pub(crate) fn replace_segments(&mut self, sources: &[SegmentId], id: SegmentId) -> Result<bool, redb::Error> {
        let rows = self.segments()?;
        let are_sources = |rows: &[(u64, SegmentId)]| rows.iter().rev().map(|(_, id)| id).eq(sources);
        let Some(replaced) = rows.windows(sources.len()).rfind(|rows| are_sources(rows)) else { return Ok(false) };
        let newest = replaced.iter().map(|(number, _)| *number).max().unwrap_or_default();
        self.keep_segments(|number, _| replaced.iter().all(|(gone, _)| *gone != number))?;
        self.put_segment(newest, id)?;
        Ok(true)
    }

    fn put_segment(&mut self, number: u64, id: SegmentId) -> Result<(), redb::Error> {
        let row = self.tagged(&segment_row(number), &id.0);
        self.segments.insert(number, row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    /// The numbers of catalogs of a segment that were forgotten. A row that does not verify says nothing.
    pub(crate) fn forgotten(&self, id: SegmentId) -> Result<BTreeSet<u32>, redb::Error> {
        let row = self.forgotten.get(&id.0[..])?;
        let numbers = row.as_ref().and_then(|row| self.verified(&forgotten_row(id), row.value()));
        Ok(numbers.into_iter().flat_map(|row| row.as_chunks().0).map(|number| u32::from_le_bytes(*number)).collect())
    }

    /// Records that these catalogs of a segment are forgotten, beside those that were before.
    pub(crate) fn forget_catalogs(&mut self, id: SegmentId, numbers: &[u32]) -> Result<(), redb::Error> {
        let mut all = self.forgotten(id)?;
        all.extend(numbers);
        let all: Vec<u8> = all.into_iter().flat_map(u32::to_le_bytes).collect();
        let row = self.tagged(&forgotten_row(id), &all);
        self.forgotten.insert(&id.0[..], row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    /// Keeps only the segment rows that `keep` names, and what was forgotten of these, and returns their ids.
    pub(crate) fn keep_segments(
        &mut self,
        keep: impl Fn(u64, SegmentId) -> bool,
    ) -> Result<Vec<SegmentId>, redb::Error> {
        let mut kept = self.segments()?;
        kept.retain(|(number, id)| keep(*number, *id));
        let before = self.segments.iter()?.count();
        if kept.len() != before {
            self.segments.retain(|number, _| kept.iter().any(|(kept, _)| *kept == number))?;
            self.forgotten.retain(|id, _| kept.iter().any(|(_, kept)| kept.0 == *id))?;
            self.changed = true;
        }
        Ok(kept.into_iter().map(|(_, id)| id).collect())
    }

    /// All values that verify.
    pub(crate) fn values(&self) -> Result<BTreeMap<String, Vec<u8>>, redb::Error> {
        let mut values = BTreeMap::new();
        for row in self.values.iter()? {
            let (name, row) = row?;
            if let Some(value) = self.verified(&value_row(name.value()), row.value()) {
                values.insert(name.value().to_owned(), value.to_vec());
            }
        }
        Ok(values)
    }

    pub(crate) fn put_value(&mut self, name: &str, value: &[u8]) -> Result<(), redb::Error> {
        let row = self.tagged(&value_row(name), value);
        self.values.insert(name, row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    fn tagged(&self, row: &(&str, Vec<u8>), value: &[u8]) -> Vec<u8> {
        [&self.key.row_tag(row.0, &row.1, value)[..], value].concat()
    }

    fn verified<'a>(&self, row: &(&str, Vec<u8>), tagged: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, value) = tagged.split_first_chunk::<TAG_LEN>()?;
        (self.key.row_tag(row.0, &row.1, value) == *tag).then_some(value)
    }
}

fn segment_row(number: u64) -> (&'static str, Vec<u8>) {
    ("segments", number.to_le_bytes().to_vec())
}

fn forgotten_row(id: SegmentId) -> (&'static str, Vec<u8>) {
    ("forgotten", id.0.to_vec())
}

fn value_row(name: &str) -> (&'static str, Vec<u8>) {
    ("values", name.as_bytes().to_vec())
}

fn failure(error: impl Into<redb::Error>) -> Failure {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Failure::Locked,
        redb::Error::Io(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            Failure::Unwritable
        }
        redb::Error::PreviousIo | redb::Error::Unsupported => Failure::Unwritable,
        _ => Failure::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LocalKey = LocalKey::new([5; 32]);

    type Content = (Vec<(u64, SegmentId)>, BTreeMap<String, Vec<u8>>);

    fn content(path: PathBuf) -> Content {
        State::new(path, KEY).update(|rows| Ok((rows.segments()?, rows.values()?))).expect("a usable folder")
    }

    fn forgotten(path: PathBuf, number: u8) -> Vec<u32> {
        let read = State::new(path, KEY).update(|rows| rows.forgotten(SegmentId([number; 16])));
        read.expect("a usable folder").into_iter().collect()
    }

    /// A database in memory where there is such a folder, with three segments and two values.
    fn filled() -> (tempfile::TempDir, PathBuf) {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = folder.path().join("state.redb");
        let state = State::new(path.clone(), KEY);
        for number in 1..4 {
            state.update(|rows| rows.push_segment(SegmentId([number; 16]))).unwrap();
        }
        state.update(|rows| rows.forget_catalogs(SegmentId([2; 16]), &[7, 70_000])).unwrap();
        state.update(|rows| rows.put_value("device", &[9; 40])).unwrap();
        state.update(|rows| rows.put_value("settings", b"all of them")).unwrap();
        (folder, path)
    }

    /// Whether every row is one that was written.
    fn is_true((segments, values): &Content, (all_segments, all_values): &Content) -> bool {
        segments.iter().all(|row| all_segments.contains(row))
            && values.iter().all(|(name, value)| all_values.get(name) == Some(value))
    }

    #[test]
    fn any_flip_or_cut_only_removes_rows() {
        let (_folder, path) = filled();
        let good = std::fs::read(&path).unwrap();
        let right = content(path.clone());
        assert_eq!((right.0.len(), right.1.len()), (3, 2));
        // Almost all of the file is empty: flip every byte that is not zero, its neighbours, and some of the rest.
        let near = |at: usize| good[at.saturating_sub(1)..good.len().min(at + 2)].iter().any(|byte| *byte != 0);
        let flips: Vec<usize> = (0..good.len()).filter(|at| near(*at) || at % 1021 == 0).collect();
        for at in flips {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, bad).unwrap();
            let all =
                |rows: &mut Rows<'_>| Ok(((rows.segments()?, rows.values()?), rows.forgotten(SegmentId([2; 16]))?));
            let (found, forgotten) = State::new(path.clone(), KEY).update(all).expect("a usable folder");
            assert!(is_true(&found, &right), "a flip at {at}");
            assert!(forgotten.is_empty() || forgotten.into_iter().eq([7, 70_000]), "a flip at {at}");
        }
        for len in (0..good.len()).filter(|len| len % 509 == 0 || len % 4096 < 2) {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(is_true(&content(path.clone()), &right), "a cut at {len}");
        }
    }

    #[test]
    fn rows_that_were_moved_do_not_verify() {
        let (_folder, path) = filled();
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut segments = transaction.open_table(SEGMENTS).unwrap();
            let row = segments.get(0).unwrap().unwrap().value().to_vec();
            segments.insert(1, row.as_slice()).unwrap();
            segments.insert(u64::MAX, row.as_slice()).unwrap();
            let mut values = transaction.open_table(VALUES).unwrap();
            let row = values.get("device").unwrap().unwrap().value().to_vec();
            values.insert("settings", row.as_slice()).unwrap();
            values.insert("short", &b"no tag"[..]).unwrap();
            let mut forgotten = transaction.open_table(FORGOTTEN).unwrap();
            let row = forgotten.get(&[2; 16][..]).unwrap().unwrap().value().to_vec();
            forgotten.insert(&[1; 16][..], row.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let (segments, values) = content(path.clone());
        assert_eq!(segments, [(0, SegmentId([1; 16])), (2, SegmentId([3; 16]))]);
        assert_eq!(values.into_keys().collect::<Vec<_>>(), ["device"]);
        assert_eq!([1, 2].map(|number| forgotten(path.clone(), number)), [vec![], vec![7, 70_000]]);
        // No row can follow the last number: the database starts again.
        let state = State::new(path.clone(), KEY);
        state.update(|rows| rows.push_segment(SegmentId([4; 16]))).unwrap();
        assert!(state.was_emptied());
        assert_eq!(content(path).0, [(0, SegmentId([4; 16]))]);
    }

    #[test]
    fn a_merge_is_recorded_in_place_of_neighbours_only() {
        let (_folder, path) = filled();
        let state = State::new(path.clone(), KEY);
        let id = |number: u8| SegmentId([number; 16]);
        let replace = |sources: &[SegmentId]| state.update(|rows| rows.replace_segments(sources, id(9))).unwrap();
        for sources in [&[id(3), id(1)][..], &[id(1), id(2)], &[id(4), id(3)], &[id(4)]] {
            assert!(!replace(sources), "{sources:?}");
        }
        assert!(replace(&[id(2), id(1)]));
        assert_eq!(content(path.clone()).0, [(1, id(9)), (2, id(3))]);
        assert_eq!(forgotten(path.clone(), 2), [], "what was forgotten of a source is left out");
        state.update(|rows| rows.forget_catalogs(id(9), &[1])).unwrap();
        state.update(|rows| rows.forget_catalogs(id(9), &[3, 1])).unwrap();
        assert_eq!(forgotten(path, 9), [1, 3]);
    }

    #[test]
    fn a_database_of_other_tables_starts_again() {
        let (_folder, path) = filled();
        std::fs::remove_file(&path).unwrap();
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u32, u32>::new("segments")).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert_eq!(content(path), Content::default());
    }
}
