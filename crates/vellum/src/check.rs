//! Checking a repository: small objects with their copies, catalogs and packs, on request every byte, then every tree
//! and file of every snapshot, so that damage is told by what it costs.

mod drill;
mod parity;
mod sample;

use crate::losses::{Losses, folder_hash, look_at_packs};
use crate::tree_reader::{TreeWalk, root_content};
use crate::whole::folders_of;
use crate::{Context, Error};
use drill::{Drill, Tried, Wrong};
use sample::choose;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use vellum_format::content::Content;
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{Entry, Node};
use vellum_format::verification::{CheckRun, Reach};
use vellum_format::{ObjectId, ObjectKind, ObjectName};
use vellum_repository::{
    Damage, FrameCache, FrameId, FrameReader, HeadCode, HistoryFinding, KnownBy, Place, Repository, RepositoryError,
    Snapshot, Verifications,
};

pub use drill::{RestoreTest, RestoreTestReport};
pub use parity::ParityCover;
pub use sample::{Coverage, coverage};

/// Findings that are kept; further ones are only counted.
const FINDINGS_KEPT_MAX: usize = 10_000;

/// Nothing counts as recorded before it.
const LONG_AGO: Timestamp = Timestamp { seconds: i64::MIN, nanoseconds: 0 };

/// How often what was found is looked for again, as long as some of it is not found any more.
const SECOND_LOOKS_MAX: usize = 8;

/// How the reason of a finding begins that is about an absence.
const MISSING: &str = "it is missing";

/// How deep to look.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// The time: the library reads no clock. Without it nothing of earlier checks counts, and nothing is recorded.
    pub now: Option<Timestamp>,
    /// Which packs are read and verified byte by byte, beside those that were damaged when they were read last.
    pub read_data: ReadData,
    /// Files that are restored to try it, if any.
    pub restore_test: Option<RestoreTest>,
    /// The code of a record that history must reach to.
    pub head: Option<HeadCode>,
    /// Takes what is wrong with history for how things are, and remembers that on this machine.
    pub accept_history: bool,
}

/// Which packs are read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum ReadData {
    /// None but those.
    #[default]
    None,
    /// Every one.
    All,
    /// This share of all bytes, in percent: the packs that were read longest ago, those that never were first.
    Percent(f64),
    /// At least so many bytes, of the same packs.
    Bytes(u64),
    /// The n-th of m parts, counted from 1; m runs with the same m read everything.
    Part(u32, u32),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, if it is about one.
    pub object: Option<ObjectName>,
    /// The snapshot and path that it costs, if it is about a file or folder.
    pub path: Option<(ObjectId, Vec<u8>)>,
    /// What is wrong.
    pub reason: String,
}

/// What a check saw.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is wrong, up to the first 10,000.
    pub findings: Vec<Finding>,
    /// How many things are wrong.
    pub finding_count: u64,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Different folders.
    pub folders: u64,
    /// Packs that catalogs list.
    pub packs: u64,
    /// Packs that were read and verified byte by byte.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Damaged packs that can be healed by their parity. What lies in them is no loss.
    pub packs_healable: u64,
    /// Damaged or missing copies of small objects that are told as findings and of which the other copy is whole.
    pub copies_mendable: u64,
    /// Whether something is lost because no catalog lists the chunks that hold it. Packs that no catalog lists may have
    /// them: then a catalog is lost, and nothing else.
    pub misses_chunks: bool,
    /// Packs that no catalog lists: left by an interrupted backup or a running one. Harmless.
    pub packs_unlisted: u64,
    /// Catalogs and snapshots of which only one copy is there and that no acknowledged snapshot is known to need: left
    /// by an interrupted backup or a running one. Harmless; the next backup stores the other copy.
    pub copies_missing: u64,
    /// How many of them are snapshots: whole and listed, though the backup that stored them may have told that it
    /// failed.
    pub snapshots_unpaired: u64,
    /// What restoring files to try it showed.
    pub restore_test: RestoreTestReport,
    /// The code of history's newest record.
    pub head_code: Option<HeadCode>,
    /// Whether this machine remembered nothing of this repository's history, and so cannot tell an older state.
    pub is_first_sight: bool,
    /// What was wrong with history and was accepted.
    pub accepted: Vec<HistoryFinding>,
    /// When packs were verified, by this check and earlier ones.
    pub coverage: Coverage,
    /// What damage packs outlast.
    pub parity: ParityCover,
    /// Whether the repository remembers what this check read.
    pub is_recorded: bool,
    /// Why the repository could not remember what this check read, if it could not. Nothing depends on it.
    pub not_recorded: Option<String>,
}

/// Checks a repository. When it reads packs or restores files, and is told the time, it leaves a record of that and
/// removes earlier ones; it changes nothing else.
///
/// # Errors
/// [`Error::Repository`] when the storage cannot be read at all, or history does not reach to the given head; damage
/// is not an error but a finding.
pub fn check(repository: &Repository, options: &CheckOptions, context: &Context) -> Result<CheckReport, Error> {
    let mut checker = Checker::new(repository, context);
    checker.look(options)?;
    for _ in 0..SECOND_LOOKS_MAX {
        // What others forgot and pruned meanwhile is no damage. What is wrong is found again, and what could not be
        // read once is told as long as it is there.
        let found = std::mem::take(&mut checker.report.findings);
        if found.is_empty() {
            break;
        }
        let count = found.len();
        checker.look_again(options)?;
        let again = std::mem::take(&mut checker.report.findings);
        let found = confirmed(found, again, |finding| checker.is_still_there(finding));
        let counted = if found.len() < FINDINGS_KEPT_MAX { 0 } else { checker.report.finding_count };
        checker.report.finding_count = counted.max(found.len() as u64);
        checker.report.findings = found;
        if checker.report.findings.len() == count {
            break;
        }
    }
    checker.count_mendable_copies()?;
    checker.remember(options)?;
    Ok(checker.report)
}

/// What was found twice, or is there all the same. Where the first look found more than is kept, whatever the second
/// found may have been among that, and counts until it is looked for again.
fn confirmed(mut found: Vec<Finding>, again: Vec<Finding>, is_still_there: impl Fn(&Finding) -> bool) -> Vec<Finding> {
    let is_full = found.len() == FINDINGS_KEPT_MAX;
    found.retain(|finding| again.contains(finding) || is_still_there(finding));
    if is_full {
        let kept = found.len();
        let more = again.into_iter().filter(|finding| !found[..kept].contains(finding)).take(FINDINGS_KEPT_MAX - kept);
        let more: Vec<Finding> = more.collect();
        found.extend(more);
    }
    found
}

struct Checker<'a> {
    repository: &'a Repository,
    context: &'a Context,
    report: CheckReport,
    /// Trees that were walked, by the hash of their content.
    seen: HashSet<[u8; 16]>,
    losses: Losses<'a>,
    needed: Needed,
    /// Packs of which something was read, with what is wrong with them.
    read: BTreeMap<ObjectId, Damage>,
    /// What reading files as a restore would found.
    tested: Vec<Finding>,
    /// Packs that catalogs list, and packs that are there with their lengths.
    listed: BTreeSet<ObjectId>,
    stored: BTreeMap<ObjectId, u64>,
    /// What earlier checks left.
    known: Verifications,
    /// Packs that this one read, each with whether it was undamaged.
    readings: BTreeMap<ObjectId, bool>,
}

/// A file to be restored for a test; its path has no slash before it.
struct ChosenFile<'a> {
    snapshot: &'a Snapshot,
    path: Vec<u8>,
    entry: Entry,
}

/// What snapshots were found to need.
#[derive(Default)]
struct Needed {
    packs: BTreeSet<ObjectId>,
    /// The frame that was noted last.
    last_frame: Option<FrameId>,
    /// Snapshots that later history names, or that this device knows to have published.
    snapshots: BTreeSet<ObjectId>,
}

impl Needed {
    /// Notes the pack of a chunk that lies nowhere else; neighbours lie in the same.
    fn chunk(&mut self, repository: &Repository, places: &[Place]) {
        if let [only] = places
            && self.last_frame != Some(only.frame)
        {
            self.packs.extend(repository.pack_of(only.frame).map(|pack| pack.id));
            self.last_frame = Some(only.frame);
        }
    }
}

impl<'a> Checker<'a> {
    fn new(repository: &'a Repository, context: &'a Context) -> Self {
        Self {
            repository,
            context,
            report: CheckReport::default(),
            seen: HashSet::new(),
            losses: Losses::new(repository),
            needed: Needed::default(),
            read: BTreeMap::new(),
            tested: Vec::new(),
            listed: BTreeSet::new(),
            stored: BTreeMap::new(),
            known: Verifications::default(),
            readings: BTreeMap::new(),
        }
    }

    /// Looks at everything.
    fn look(&mut self, options: &CheckOptions) -> Result<(), Error> {
        let missing = self.check_small_objects(options)?;
        self.check_packs(options)?;
        let snapshots = self.check_history(options)?;
        self.check_snapshots(&snapshots, &missing)?;
        self.test_files(&snapshots, options)?;
        self.judge_missing_copies(&missing)?;
        self.tell_healed()
    }

    /// Looks at everything but what was read byte by byte, which is wrong as long as it is there.
    fn look_again(&mut self, options: &CheckOptions) -> Result<(), Error> {
        self.report = CheckReport {
            packs_read: self.report.packs_read,
            bytes_read: self.report.bytes_read,
            restore_test: std::mem::take(&mut self.report.restore_test),
            accepted: std::mem::take(&mut self.report.accepted),
            ..CheckReport::default()
        };
        (self.seen, self.needed) = (HashSet::new(), Needed::default());
        let missing = self.check_small_objects(options)?;
        self.count_packs()?;
        self.read.retain(|pack, _| self.stored.contains_key(pack));
        self.losses.retain_packs(|pack| self.stored.contains_key(pack));
        self.blame_packs()?;
        let snapshots = self.check_history(&CheckOptions { accept_history: false, ..options.clone() })?;
        self.check_snapshots(&snapshots, &missing)?;
        let there: BTreeSet<ObjectId> = snapshots.iter().map(|snapshot| snapshot.id).collect();
        let is_there = |finding: &Finding| finding.path.as_ref().is_some_and(|(snapshot, _)| there.contains(snapshot));
        for finding in std::mem::take(&mut self.tested) {
            if is_there(&finding) {
                self.find(finding.clone());
                self.tested.push(finding);
            }
        }
        self.judge_missing_copies(&missing)?;
        self.tell_healed()
    }

    /// Config, keys, catalogs, tombstones, records of deletion, what earlier checks left, and which of the copies are
    /// missing.
    fn check_small_objects(&mut self, options: &CheckOptions) -> Result<Vec<ObjectName>, Error> {
        let copies = self.repository.verify_copies()?;
        for damage in copies.damage {
            self.damage(damage);
        }
        self.repository.refresh_for_check()?;
        for damage in self.repository.verify_catalogs()? {
            match damage.object.kind {
                ObjectKind::Pack => self.damaged_pack(damage)?,
                _ => self.damage(damage),
            }
        }
        for damage in [self.repository.verify_tombstones()?, self.repository.verify_records()?].concat() {
            self.damage(damage);
        }
        self.known = self.repository.verifications(options.now.unwrap_or(LONG_AGO))?;
        for damage in std::mem::take(&mut self.known.damage) {
            self.damage(damage);
        }
        Ok(copies.missing)
    }

    /// Whether this is about the bytes of an object that is there, and not about its absence.
    fn is_still_there(&self, finding: &Finding) -> bool {
        let is_there = |object| self.repository.storage().len(&object).is_ok();
        !finding.reason.starts_with(MISSING) && finding.object.is_some_and(is_there)
    }

    fn find(&mut self, finding: Finding) {
        self.report.finding_count += 1;
        if self.report.findings.len() < FINDINGS_KEPT_MAX && !self.report.findings.contains(&finding) {
            self.report.findings.push(finding);
        }
    }

    fn damage(&mut self, Damage { object, reason }: Damage) {
        self.find(Finding { object: Some(object), path: None, reason });
    }

    fn damaged_pack(&mut self, damage: Damage) -> Result<(), Error> {
        let damage = self.losses.add_pack(damage)?;
        self.damage(damage);
        Ok(())
    }

    /// Packs of which something was healed on the way: nothing heals without being told.
    fn tell_healed(&mut self) -> Result<(), Error> {
        for object in self.repository.healed_packs() {
            if !self.losses.knows_pack(&object.id) {
                let reason = "what it holds does not open".to_owned();
                let told = self.losses.add_pack(Damage { object, reason })?;
                self.read.insert(object.id, told.clone());
                self.damage(told);
            }
        }
        self.report.packs_healable = self.losses.healable_count();
        Ok(())
    }

    /// A repository error that concerns one object or chunk becomes a finding; any other ends the check.
    fn finding(&mut self, error: RepositoryError, path: Option<(ObjectId, Vec<u8>)>) -> Result<(), Error> {
        self.report.misses_chunks |= matches!(error, RepositoryError::ChunkMissing { .. });
        self.find(as_finding(error, path)?);
        Ok(())
    }

    /// How many of the objects that findings name a repair can store anew from their other copies.
    fn count_mendable_copies(&mut self) -> Result<(), Error> {
        let named: BTreeSet<ObjectName> = self.report.findings.iter().filter_map(|finding| finding.object).collect();
        let is_named = |kind: ObjectKind| {
            named.iter().any(|name| name.kind == kind || kind.mirror().is_some_and(|copy| copy == name.kind))
        };
        let mendable = self.repository.broken_copies(is_named)?.mendable;
        self.report.copies_mendable = mendable.iter().filter(|name| named.contains(name)).count() as u64;
        Ok(())
    }

    /// The packs that catalogs list, and those that are there with their lengths.
    fn count_packs(&mut self) -> Result<(), Error> {
        let listed = self.repository.catalogued_packs();
        self.stored = self.repository.names(ObjectKind::Pack)?;
        let there = listed.iter().filter(|(pack, _)| self.stored.contains_key(pack));
        self.report.parity = ParityCover::of(there.map(|(_, len_bytes)| *len_bytes));
        self.listed = listed.into_iter().map(|(pack, _)| pack).collect();
        self.report.packs = self.listed.len() as u64;
        self.report.packs_unlisted = self.stored.keys().filter(|pack| !self.listed.contains(pack)).count() as u64;
        Ok(())
    }

    fn check_packs(&mut self, options: &CheckOptions) -> Result<(), Error> {
        self.count_packs()?;
        let chosen = choose(&self.stored, &self.listed, options.read_data, &self.known)?;
        self.context.progress.add_total(chosen.len() as u64, chosen.iter().map(|(_, len)| len).sum());
        self.context.progress.scan_finished.store(true, Ordering::Relaxed);
        let verify = |reader: &mut FrameReader, id| self.repository.verify_pack(reader, id);
        for (id, verdict) in look_at_packs(&chosen, self.context, verify)? {
            if matches!(&verdict, Ok(_) | Err(RepositoryError::Damaged { .. })) {
                self.readings.insert(id, verdict.is_ok());
            }
            match verdict {
                Ok(verdict) => {
                    self.report.packs_read += 1;
                    self.report.bytes_read += verdict.len_bytes;
                }
                Err(_) if !self.listed.contains(&id) => {} // an interrupted backup's; nothing refers to it
                Err(RepositoryError::Damaged { object, reason }) => {
                    self.read.insert(id, self.losses.add_pack(Damage { object, reason })?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.blame_packs()
    }

    /// Leaves what was read to later checks, and tells what is known by now.
    fn remember(&mut self, options: &CheckOptions) -> Result<(), Error> {
        let report = &mut self.report;
        let Some(time) = options.now else { return Ok(()) };
        let says_more = match options.read_data {
            // That what was damaged still is, is known.
            ReadData::None => self.readings.values().any(|is_whole| *is_whole),
            _ => !self.readings.is_empty(),
        };
        if says_more || report.restore_test.files > 0 {
            let reach = match options.read_data {
                ReadData::None => Reach::Structure,
                ReadData::All => Reach::EveryByte,
                _ => Reach::Sample,
            };
            let (files_restored, findings) = (report.restore_test.files, report.finding_count);
            let device = self.repository.device_id()?;
            let run = CheckRun { time, device, reach, files_restored, findings };
            self.known.add(run, &self.readings);
            let recorded = self.repository.record_check(run, &self.readings);
            report.is_recorded = recorded.is_ok();
            report.not_recorded = recorded.err().map(|error| error.to_string());
        }
        let there = self.stored.keys().filter(|pack| self.listed.contains(pack));
        report.coverage = Coverage::of(there, &self.known);
        Ok(())
    }

    /// Finds what reading packs found, and the frames that this costs.
    fn blame_packs(&mut self) -> Result<(), Error> {
        for damage in self.read.values().cloned().collect::<Vec<_>>() {
            self.damage(damage);
        }
        Ok(self.losses.look_into_packs()?)
    }

    /// Every folder and file. Where nothing is wrong all threads see that together; only otherwise one looks at all
    /// in order, so that each look at the same damage finds the same.
    fn check_snapshots(&mut self, snapshots: &[Snapshot], missing: &[ObjectName]) -> Result<(), Error> {
        let needs_packs = missing.iter().any(is_catalog);
        if !needs_packs
            && !self.losses.has_hopeless_packs()
            && let Some(folders) = folders_of(self.repository, snapshots, self.context)?
        {
            self.report.snapshots += snapshots.len() as u64;
            self.report.folders += folders;
            return Ok(());
        }
        for snapshot in snapshots {
            self.report.snapshots += 1;
            match root_content(snapshot) {
                Ok(root) => self.check_tree(snapshot, &root)?,
                Err(error) => self.finding(error, None)?,
            }
        }
        Ok(())
    }

    /// Every record that another, or this machine, knows of is there or removed by a tombstone, and history went one
    /// way. Gives the snapshots that can be used.
    fn check_history(&mut self, options: &CheckOptions) -> Result<Vec<Snapshot>, Error> {
        let history = self.repository.history()?;
        if let Some(code) = &options.head {
            history.expect_head(code)?;
        }
        self.report.head_code = history.head_code();
        self.report.is_first_sight = history.is_first_sight;
        self.needed.snapshots = history.known;
        for error in history.damaged {
            // Tombstones were verified one by one, in both places.
            if !matches!(&error, RepositoryError::Damaged { object, .. } if object.kind == ObjectKind::Tombstone) {
                self.finding(error, None)?;
            }
        }
        if options.accept_history {
            self.report.accepted = self.repository.accept_history()?;
        } else {
            for finding in history.findings {
                self.find(Finding { object: Some(finding.object()), path: None, reason: reason(&finding) });
            }
        }
        Ok(history.snapshots)
    }

    /// A copy that is missing was lost when a snapshot relies on its object: that was published after both were
    /// durable. Otherwise it may never have been there; and a catalog of which all that is needed is listed twice
    /// elsewhere may be one that a prune had begun to delete.
    fn judge_missing_copies(&mut self, missing: &[ObjectName]) -> Result<(), Error> {
        let listed = match missing.iter().any(is_catalog) {
            true => self.packs_listed_twice()?,
            false => BTreeSet::new(),
        };
        for name in missing {
            let is_needed = match name.kind {
                ObjectKind::Snapshot | ObjectKind::SnapshotMirror => self.needed.snapshots.contains(&name.id),
                _ => match self.repository.catalog(name.id) {
                    Ok(catalog) => catalog
                        .packs
                        .iter()
                        .any(|pack| self.needed.packs.contains(&pack.pack) && !listed.contains(&pack.pack)),
                    Err(error) => {
                        self.finding(error, None)?;
                        true
                    }
                },
            };
            if is_needed {
                self.find(Finding { object: Some(*name), path: None, reason: MISSING.to_owned() });
            } else {
                self.report.copies_missing += 1;
                self.report.snapshots_unpaired += u64::from(!is_catalog(name));
            }
        }
        Ok(())
    }

    /// Packs that catalogs list of which both copies are there.
    fn packs_listed_twice(&self) -> Result<BTreeSet<ObjectId>, Error> {
        let copies = self.repository.names(ObjectKind::CatalogMirror)?;
        let mut listed = BTreeSet::new();
        for id in self.repository.names(ObjectKind::Catalog)?.into_keys().filter(|id| copies.contains_key(id)) {
            // One that cannot be read lists nothing, and was told of.
            let packs = self.repository.catalog(id).map(|catalog| catalog.packs).unwrap_or_default();
            listed.extend(packs.into_iter().map(|pack| pack.pack));
        }
        Ok(listed)
    }

    fn check_tree(&mut self, snapshot: &Snapshot, root: &Content) -> Result<(), Error> {
        let repository = self.repository;
        let cache = FrameCache::strict(16);
        let mut walk = TreeWalk::new(repository, &cache, root);
        self.need_folder(root);
        while let Some(step) = walk.next() {
            self.context.check_cancelled()?;
            let step = match step {
                Ok(step) => step,
                Err((path, error)) => {
                    self.finding(error, Some((snapshot.id, path)))?;
                    continue;
                }
            };
            match &step.entry.node {
                Node::Folder { content } => {
                    if self.seen.insert(folder_hash(content)) {
                        self.report.folders += 1;
                        self.need_folder(content);
                    } else {
                        walk.skip_folder();
                    }
                }
                Node::File { content, len_bytes, .. } => {
                    let needed = &mut self.needed;
                    let places = |places: &[Place]| needed.chunk(repository, places);
                    if let Err(error) = self.losses.check_file(&cache, content, *len_bytes, places) {
                        self.finding(error, Some((snapshot.id, step.path)))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the packs that hold the start of a folder's entry list, or its lists.
    fn need_folder(&mut self, folder: &Content) {
        for chunk in &folder.chunks {
            self.needed.chunk(self.repository, &self.repository.places(chunk));
        }
    }

    /// Restores files chosen at random, and compares them.
    fn test_files(&mut self, snapshots: &[Snapshot], options: &CheckOptions) -> Result<(), Error> {
        let Some(test) = &options.restore_test else { return Ok(()) };
        let mut drill = Drill::new(self.repository, self.context, test);
        for ChosenFile { snapshot, path, entry } in self.choose_files(snapshots, test.files)? {
            self.context.check_cancelled()?;
            let wrong = match drill.try_file(snapshot, &path, &entry)? {
                Tried::Done(wrong) => wrong,
                Tried::NotWritten(reason) => {
                    drill.report.not_written.push(reason);
                    continue;
                }
            };
            for wrong in wrong {
                let costs = Some((snapshot.id, path.clone()));
                let finding = match wrong {
                    Wrong::Unreadable(error) => as_finding(error, costs)?,
                    Wrong::Differs(reason) => Finding { object: None, path: costs, reason },
                };
                self.find(finding.clone());
                self.tested.push(finding);
            }
        }
        self.report.restore_test = drill.report;
        Ok(())
    }

    /// So many files of all snapshots, each as likely as any other; what folders with equal content hold counts once.
    fn choose_files<'s>(&self, snapshots: &'s [Snapshot], count: usize) -> Result<Vec<ChosenFile<'s>>, Error> {
        let cache = FrameCache::strict(16);
        let mut random = Random::new()?;
        let mut chosen = Vec::new();
        let mut met = 0u64;
        let mut seen = HashSet::new();
        for snapshot in snapshots {
            let Ok(root) = root_content(snapshot) else { continue };
            let mut walk = TreeWalk::new(self.repository, &cache, &root);
            while let Some(step) = walk.next() {
                self.context.check_cancelled()?;
                let Ok(step) = step else { continue };
                if let Node::Folder { content } = &step.entry.node
                    && !seen.insert(folder_hash(content))
                {
                    walk.skip_folder();
                }
                if !matches!(step.entry.node, Node::File { .. }) {
                    continue;
                }
                met += 1;
                let candidate = ChosenFile { snapshot, path: step.path, entry: step.entry };
                if chosen.len() < count {
                    chosen.push(candidate);
                } else if let Some(place) = chosen.get_mut(usize::try_from(random.below(met)).unwrap_or(usize::MAX)) {
                    *place = candidate;
                }
            }
        }
        Ok(chosen)
    }
}

fn is_catalog(name: &ObjectName) -> bool {
    matches!(name.kind, ObjectKind::Catalog | ObjectKind::CatalogMirror)
}

/// An error that concerns one object or chunk, as a finding.
fn as_finding(error: RepositoryError, path: Option<(ObjectId, Vec<u8>)>) -> Result<Finding, Error> {
    match error {
        RepositoryError::Damaged { object, reason } => Ok(Finding { object: Some(object), path, reason }),
        RepositoryError::Storage(_) | RepositoryError::LocalState(_) => Err(error.into()),
        other => Ok(Finding { object: None, path, reason: other.to_string() }),
    }
}

/// What is wrong with the object that a finding is about, which stands beside it.
fn reason(finding: &HistoryFinding) -> String {
    match finding {
        HistoryFinding::Shortened { known_by: KnownBy::ThisMachine, .. } => {
            format!("{MISSING}, although this machine has seen it")
        }
        HistoryFinding::Shortened { .. } => format!("{MISSING}, although later history knows it"),
        other => other.to_string(),
    }
}

/// Numbers for choosing samples; unpredictable, so that nobody can prepare for them.
struct Random(blake3::OutputReader);

impl Random {
    fn new() -> Result<Self, RepositoryError> {
        let seed: [u8; 32] = vellum_repository::random_bytes()?;
        Ok(Self(blake3::Hasher::new_keyed(&seed).finalize_xof()))
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(numbers: std::ops::Range<usize>) -> Vec<Finding> {
        numbers.map(|number| Finding { object: None, path: None, reason: number.to_string() }).collect()
    }

    #[test]
    fn what_is_found_twice_or_is_still_there_counts() {
        let still = |finding: &Finding| finding.reason == "1";
        assert_eq!(confirmed(findings(0..4), findings(3..5), still), [findings(1..2), findings(3..4)].concat());
    }

    /// A forget and a prune meanwhile may cost more files than are kept, and damage that was found behind them is told.
    #[test]
    fn what_was_found_behind_all_that_is_kept_counts() {
        let many = || findings(0..FINDINGS_KEPT_MAX);
        let damage = || findings(FINDINGS_KEPT_MAX..FINDINGS_KEPT_MAX + 3);
        assert_eq!(confirmed(many(), damage(), |_| false), damage());
        assert_eq!(
            confirmed(many(), [damage(), findings(0..2)].concat(), |_| false),
            [findings(0..2), damage()].concat()
        );
        assert_eq!(confirmed(many(), damage(), |_| true), many(), "no more than is kept");
    }
}
