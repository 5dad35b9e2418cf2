//! The local state folder: `state.redb`, and `segments/` with one file per segment.
//!
//! A segment file is written under a temporary name, renamed, and never changed. What is made from catalogs is not
//! synced: a file that a power loss tore does not verify and is made again. What is made by merging is, because its
//! sources go; they go only after it is recorded in their place, so a crash leaves either. Renaming, recording and
//! deleting happen while the database is open, that is by one process at a time; a process that has a deleted segment
//! open keeps reading it.

use crate::key::{LocalKey, SegmentId};
use crate::segment::{Draft, Segment, Source};
use crate::state::{Failure, State};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use vellum_faults::{Point, reach};
use vellum_format::ObjectId;

const SEGMENT_SUFFIX: &str = ".segment";
const TEMPORARY_SUFFIX: &str = ".temporary";

/// Segments that are opened, with a handle each. There are more only when processes that add by turns for long find no
/// neighbours to merge.
const OPENED_MAX: usize = 256;

pub(crate) struct Folder {
    segments: PathBuf,
    state: State,
    key: LocalKey,
}

/// What a folder held.
pub(crate) struct Found {
    /// The oldest first.
    pub(crate) segments: Vec<Segment>,
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    /// Whether the database or a recorded segment was missing or damaged.
    pub(crate) damaged: bool,
}

impl Folder {
    pub(crate) fn create(path: &Path, key: &LocalKey) -> Result<Self, Failure> {
        let segments = path.join("segments");
        fs::create_dir_all(&segments).map_err(|_| Failure::Unwritable)?;
        let state = State::new(path.join("state.redb"), key.clone());
        Ok(Self { segments, state, key: key.clone() })
    }

    /// Opens every recorded segment that is as it was written, up to so many of the oldest, and removes the rest: the
    /// newest are small, and their catalogs are soon loaded again, as few segments.
    pub(crate) fn load(&self, next_serial: &AtomicU64) -> Result<Found, Failure> {
        self.state.update(|rows| {
            let mut segments = BTreeMap::new();
            let mut lost = BTreeSet::new();
            let mut recorded = rows.segments()?;
            let surplus = recorded.split_off(recorded.len().min(OPENED_MAX));
            for (number, id) in recorded {
                match self.open(id, &rows.forgotten(id)?, next_serial) {
                    Opened::Segment(segment) => drop(segments.insert(number, *segment)),
                    Opened::Lost => drop(lost.insert(number)),
                    Opened::OutOfReach => {}
                }
            }
            let damaged = !lost.is_empty() || self.state.was_emptied();
            lost.extend(needless(&segments));
            lost.extend(surplus.iter().map(|(number, _)| number));
            segments.retain(|number, _| !lost.contains(number));
            let kept = rows.keep_segments(|number, _| !lost.contains(&number))?;
            self.sweep(&kept);
            Ok(Found { segments: segments.into_values().collect(), values: rows.values()?, damaged })
        })
    }

    /// Writes and records a segment, and opens what was written.
    pub(crate) fn store(&self, draft: &Draft, id: SegmentId, serial: u64) -> Result<Segment, Failure> {
        let written = self.write_temporary(id, |out| draft.write(id, &self.key, out));
        let written = written.map_err(|_| Failure::Unwritable)?;
        reach(Point::IndexBeforeRename).map_err(|_| Failure::Unwritable)?;
        let segment = self.read_back(&written, id, serial)?;
        self.state.update(|rows| {
            rows.push_segment(id)?;
            self.rename(&written, id)
        })?;
        reach(Point::IndexRecorded).map_err(|_| Failure::Unwritable)?;
        Ok(segment)
    }

    /// Writes a segment, records it in place of its sources, the newest first, and removes these.
    ///
    /// When other processes have changed what is recorded, or added something in between, all that stays as it is: the
    /// segment has no name then, and goes with whoever has it open.
    pub(crate) fn replace(
        &self,
        sources: &[SegmentId],
        id: SegmentId,
        serial: u64,
        write: impl FnOnce(&mut &File) -> io::Result<()>,
    ) -> Result<Segment, Failure> {
        let written = self.write_temporary(id, write).map_err(|_| Failure::Unwritable)?;
        written.file.sync_data().map_err(|_| Failure::Unwritable)?;
        reach(Point::IndexMergeWritten).map_err(|_| Failure::Unwritable)?;
        let segment = self.read_back(&written, id, serial)?;
        let is_recorded = self.state.update(|rows| {
            let is_recorded = rows.replace_segments(sources, id)?;
            if is_recorded {
                self.rename(&written, id)?;
            }
            Ok(is_recorded)
        })?;
        // From then on it counts; sources that stay are removed when the folder is opened or changed again.
        if is_recorded && reach(Point::IndexMergeRecorded).is_ok() {
            self.forget(sources, &[]).ok();
        }
        Ok(segment)
    }

    /// Removes segments, and records catalogs of others as forgotten, by their numbers. Another process that uses a
    /// removed segment keeps it until it ends.
    pub(crate) fn forget(&self, segments: &[SegmentId], catalogs: &[(SegmentId, Vec<u32>)]) -> Result<(), Failure> {
        self.state.update(|rows| {
            let kept = rows.keep_segments(|_, id| !segments.contains(&id))?;
            for (id, numbers) in catalogs.iter().filter(|(id, _)| kept.contains(id)) {
                rows.forget_catalogs(*id, numbers)?;
            }
            self.sweep(&kept);
            Ok(())
        })
    }

    pub(crate) fn put_value(&self, name: &str, value: &[u8]) -> Result<(), Failure> {
        self.state.update(|rows| rows.put_value(name, value))
    }

    fn open(&self, id: SegmentId, forgotten: &BTreeSet<u32>, next_serial: &AtomicU64) -> Opened {
        let file = match File::open(self.segment_path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Opened::Lost,
            Err(_) => return Opened::OutOfReach,
        };
        let serial = next_serial.fetch_add(1, Ordering::Relaxed);
        match Segment::open(Source::File(file), id, serial, &self.key) {
            Ok(segment) if forgotten.is_empty() => Opened::Segment(Box::new(segment)),
            Ok(segment) => Opened::Segment(Box::new(segment.without(forgotten.iter().copied(), serial))),
            Err(_) => Opened::Lost,
        }
    }

    fn write_temporary(
        &self,
        id: SegmentId,
        write: impl FnOnce(&mut &File) -> io::Result<()>,
    ) -> io::Result<Temporary> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.segments)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.segments.join(format!("{id}.{}.{number}{TEMPORARY_SUFFIX}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let temporary = Temporary { path, file };
        temporary.file.lock()?;
        write(&mut &temporary.file)?;
        Ok(temporary)
    }

    /// Opens a segment before anything relies on it.
    fn read_back(&self, written: &Temporary, id: SegmentId, serial: u64) -> Result<Segment, Failure> {
        let source = File::open(&written.path).map(Source::File).map_err(|_| Failure::Unwritable)?;
        Segment::open(source, id, serial, &self.key).map_err(|_| Failure::Unwritable)
    }

    /// Gives a segment its name, unless an attempt before a damaged database was deleted has done so.
    fn rename(&self, written: &Temporary, id: SegmentId) -> Result<(), redb::Error> {
        if written.path.exists() {
            fs::rename(&written.path, self.segment_path(id))?;
        }
        Ok(())
    }

    /// Deletes the files of segments that are not recorded, and what killed processes left behind.
    fn sweep(&self, recorded: &[SegmentId]) {
        let recorded: HashSet<PathBuf> = recorded.iter().map(|id| self.segment_path(*id)).collect();
        for entry in fs::read_dir(&self.segments).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let orphan = name.ends_with(SEGMENT_SUFFIX) && !recorded.contains(&path);
            if orphan || (name.ends_with(TEMPORARY_SUFFIX) && is_abandoned(&path)) {
                // A file that stays costs space until the next sweep.
                fs::remove_file(&path).ok();
            }
        }
    }

    fn segment_path(&self, id: SegmentId) -> PathBuf {
        self.segments.join(format!("{id}{SEGMENT_SUFFIX}"))
    }
}

/// What became of a recorded segment.
enum Opened {
    Segment(Box<Segment>),
    /// Missing or damaged.
    Lost,
    /// The system refused, for example for want of descriptors; it may be there next time.
    OutOfReach,
}

/// A file being written, locked so that no sweep takes it for abandoned, and deleted unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Segments whose catalogs newer ones cover as well, as happens when two processes load the same catalogs.
fn needless(segments: &BTreeMap<u64, Segment>) -> BTreeSet<u64> {
    let mut covered: HashSet<ObjectId> = HashSet::new();
    let mut needless = BTreeSet::new();
    for (number, segment) in segments.iter().rev() {
        if segment.catalog_names().all(|catalog| covered.contains(&catalog)) {
            needless.insert(*number);
        }
        covered.extend(segment.catalog_names());
    }
    needless
}
