//! The local state folder: `state.redb`, and `segments/` with one file per segment.
//!
//! A segment file is written under a temporary name, renamed, and never changed. Nothing is synced: a file that a
//! power loss tore does not verify and is made again. Renaming, recording and deleting happen while the database
//! is open, that is by one process at a time; a process that has a deleted segment open keeps reading it.

use crate::IndexError;
use crate::key::{LocalKey, SegmentId};
use crate::segment::{Draft, Segment, Source};
use crate::state::{Failure, State};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use vellum_faults::{Point, reach};
use vellum_format::ObjectId;

const SEGMENT_SUFFIX: &str = ".segment";
const TEMPORARY_SUFFIX: &str = ".temporary";
const WRITE_BUFFER_LEN_BYTES: usize = 256 << 10;

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
    pub(crate) fn create(path: &Path, key: &LocalKey) -> Result<Self, IndexError> {
        let segments = path.join("segments");
        fs::create_dir_all(&segments).map_err(|source| IndexError::Folder { path: path.to_owned(), source })?;
        let state = State::new(path.join("state.redb"), key.clone());
        Ok(Self { segments, state, key: key.clone() })
    }

    /// Opens every recorded segment that is as it was written, and removes the rest.
    pub(crate) fn load(&self, next_serial: &AtomicU64) -> Result<Found, Failure> {
        self.state.update(|rows| {
            let mut segments = BTreeMap::new();
            let mut lost = BTreeSet::new();
            for (number, id) in rows.segments()? {
                match self.open(id, next_serial) {
                    Opened::Segment(segment) => drop(segments.insert(number, *segment)),
                    Opened::Lost => drop(lost.insert(number)),
                    Opened::OutOfReach => {}
                }
            }
            let damaged = !lost.is_empty() || self.state.was_emptied();
            lost.extend(needless(&segments));
            segments.retain(|number, _| !lost.contains(number));
            let kept = rows.keep_segments(|number, _| !lost.contains(&number))?;
            self.sweep(&kept);
            Ok(Found { segments: segments.into_values().collect(), values: rows.values()?, damaged })
        })
    }

    /// Writes and records a segment, and opens what was written.
    pub(crate) fn store(&self, draft: &Draft, id: SegmentId, serial: u64) -> Result<Segment, Failure> {
        let written = self.write_temporary(draft, id).map_err(|_| Failure::Unwritable)?;
        reach(Point::IndexBeforeRename).map_err(|_| Failure::Unwritable)?;
        let source = self.state.update(|rows| {
            rows.push_segment(id)?;
            // A second attempt, after a damaged database was deleted, finds the file already renamed.
            if written.path.exists() {
                fs::rename(&written.path, self.segment_path(id))?;
            }
            Ok(Source::File(File::open(self.segment_path(id))?))
        })?;
        reach(Point::IndexRecorded).map_err(|_| Failure::Unwritable)?;
        Segment::open(source, id, serial, &self.key).map_err(|_| Failure::Unwritable)
    }

    /// Removes segments. Another process that uses one keeps it until it ends.
    pub(crate) fn forget(&self, forgotten: &[SegmentId]) -> Result<(), Failure> {
        self.state.update(|rows| {
            let kept = rows.keep_segments(|_, id| !forgotten.contains(&id))?;
            self.sweep(&kept);
            Ok(())
        })
    }

    pub(crate) fn put_value(&self, name: &str, value: &[u8]) -> Result<(), Failure> {
        self.state.update(|rows| rows.put_value(name, value))
    }

    fn open(&self, id: SegmentId, next_serial: &AtomicU64) -> Opened {
        let file = match File::open(self.segment_path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Opened::Lost,
            Err(_) => return Opened::OutOfReach,
        };
        let serial = next_serial.fetch_add(1, Ordering::Relaxed);
        match Segment::open(Source::File(file), id, serial, &self.key) {
            Ok(segment) => Opened::Segment(Box::new(segment)),
            Err(_) => Opened::Lost,
        }
    }

    fn write_temporary(&self, draft: &Draft, id: SegmentId) -> io::Result<Temporary> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.segments)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.segments.join(format!("{id}.{}.{number}{TEMPORARY_SUFFIX}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let temporary = Temporary { path, file };
        temporary.file.lock()?;
        draft.write(id, &self.key, &mut BufWriter::with_capacity(WRITE_BUFFER_LEN_BYTES, &temporary.file))?;
        Ok(temporary)
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
        if segment.catalogs.iter().all(|catalog| covered.contains(catalog)) {
            needless.insert(*number);
        }
        covered.extend(&segment.catalogs);
    }
    needless
}
