//! Repairing: what is damaged is stored anew from what is left of it.
//!
//! Nothing is deleted, and what is undamaged stays as it is, so a healthy repository keeps every byte (I19). Each
//! object is repaired for itself and whole, so a run that was killed is made again and goes on.

mod rebuild;

use crate::losses::{Losses, look_at_packs};
use crate::platform::process;
use crate::{Context, Error, Finding};
use rebuild::Rebuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use vellum_format::snapshot::Timestamp;
use vellum_format::verification::{CheckRun, Reach};
use vellum_format::{ObjectId, ObjectKind, ObjectName};
use vellum_repository::{Damage, Repository, RepositoryError, SessionOptions, Snapshot, SnapshotDraft, WriterNote};

/// The label of snapshots that were made of what is left of others.
pub const REPAIRED_TAG: &str = "repaired";

/// Who repairs, for others who wait and for snapshots.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairOptions {
    /// The time: the library reads no clock.
    pub now: Timestamp,
    /// The host's name.
    pub host: Vec<u8>,
    /// The user.
    pub user: String,
    /// The program and its version.
    pub program: String,
}

impl RepairOptions {
    /// The defaults: no host, no user.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let program = concat!("vellum ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { now, host: Vec::new(), user: String::new(), program }
    }

    fn session(&self) -> SessionOptions {
        let mut session = SessionOptions::default();
        session.writer = WriterNote {
            time: self.now,
            host: self.host.clone(),
            user: self.user.clone(),
            program: self.program.clone(),
            process: process::current(),
        };
        // What is lost is remembered by its frames.
        session.merges_index = false;
        session
    }
}

/// What a repair did, and what it could not do.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Objects that were stored anew under their own names.
    pub mended: Vec<ObjectName>,
    /// Packs that no catalog listed, and that one lists now.
    pub packs_listed: u64,
    /// Packs that were read.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// What is wrong and stays so: objects that nothing gives back, and the paths of each snapshot that this costs.
    pub findings: Vec<Finding>,
    /// Snapshots that lost something, in the order of their names.
    pub snapshots: Vec<RepairedSnapshot>,
    /// Why the repository could not remember that packs are whole again that a check had found damaged, if it could
    /// not: the next check reads them.
    pub not_recorded: Option<String>,
}

/// A snapshot that lost something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedSnapshot {
    /// The snapshot, which stays.
    pub id: ObjectId,
    /// The snapshot of what is left of it; none when nothing can be read.
    pub repaired: Option<ObjectId>,
    /// Whether an earlier run made that.
    pub was_there: bool,
    /// Files and folders that it has lost.
    pub lost: u64,
}

/// Stores second copies of small objects anew, and lists packs that no undamaged catalog lists.
///
/// # Errors
/// [`Error::Repository`] when the storage fails.
pub fn repair_index(
    repository: &Repository,
    options: &RepairOptions,
    context: &Context,
) -> Result<RepairReport, Error> {
    let mut report = RepairReport::default();
    let broken = repository.broken_copies(|_| true)?;
    broken.lost.into_iter().for_each(|damage| report.find(damage));
    repository.refresh_for_check()?;
    let unlisted = repository.unlisted_packs()?;
    context.check_cancelled()?;
    if broken.mendable.is_empty() && unlisted.is_empty() {
        return Ok(report);
    }
    // A session, because a catalog that comes back while a prune removes it has to be expected by that prune (I22).
    let session = repository.begin(&options.session())?;
    for name in broken.mendable {
        if repository.mend_copy(&name)? {
            report.mended.push(name);
        }
    }
    repository.adopt_all()?;
    drop(session.seal()?);
    let listed: BTreeSet<ObjectId> = repository.catalogued_packs().into_iter().map(|(pack, _)| pack).collect();
    for pack in unlisted {
        match listed.contains(&pack) {
            true => report.packs_listed += 1,
            false => {
                let reason = "no catalog lists it and its directory does not open; parity may heal it".to_owned();
                report.find(Damage { object: ObjectName::new(ObjectKind::Pack, pack), reason });
            }
        }
    }
    Ok(report)
}

/// Reads every pack and stores those anew that are damaged and that parity heals; names what the others cost. Packs
/// that a check had found damaged and that are whole now are recorded as that.
///
/// # Errors
/// [`Error::Repository`] when the storage fails.
pub fn repair_packs(
    repository: &Repository,
    options: &RepairOptions,
    context: &Context,
) -> Result<RepairReport, Error> {
    let mut report = RepairReport::default();
    let mut hopeless = Vec::new();
    repository.refresh_for_check()?;
    let damaged = read_packs(repository, context, &mut report)?;
    let mut unsound: BTreeSet<ObjectId> = damaged.iter().map(|damage| damage.object.id).collect();
    for damage in damaged {
        context.check_cancelled()?;
        match repository.mend_pack(damage.object.id) {
            Ok(()) => {
                unsound.remove(&damage.object.id);
                report.mended.push(damage.object);
            }
            Err(RepositoryError::Damaged { .. }) => hopeless.push(damage),
            Err(error) => return Err(error.into()),
        }
    }
    // What was mended has its length again.
    repository.refresh_for_check()?;
    let mut losses = Losses::new(repository);
    let missing = note_losses(repository, hopeless, &mut losses, &mut report)?;
    if missing {
        let mut rebuilder = Rebuilder::new(repository, context, losses);
        for snapshot in &repository.snapshots()?.snapshots {
            report.findings.extend(rebuilder.survey(snapshot)?.lost);
        }
    }
    let recorded = record_whole(repository, options, &unsound, &report);
    report.not_recorded = recorded.err().map(|error| error.to_string());
    Ok(report)
}

/// Makes a new snapshot of what is left of each snapshot that has lost something; reads every pack to know that.
///
/// The new snapshot has the time, host and paths of the old one and the tag [`REPAIRED_TAG`]. The old one stays.
///
/// # Errors
/// [`Error::Repository`] when the storage fails, or a prune gave the run up while it stood still.
pub fn repair_snapshots(
    repository: &Repository,
    options: &RepairOptions,
    context: &Context,
) -> Result<RepairReport, Error> {
    let mut report = RepairReport::default();
    let broken = repository.broken_copies(|kind| kind == ObjectKind::Snapshot)?;
    broken.lost.into_iter().for_each(|damage| report.find(damage));
    for name in broken.mendable {
        if repository.mend_copy(&name)? {
            report.mended.push(name);
        }
    }
    if !report.mended.is_empty() {
        repository.storage().sync().map_err(RepositoryError::from)?;
    }
    repository.refresh_for_check()?;
    let damaged = read_packs(repository, context, &mut report)?;
    let mut losses = Losses::new(repository);
    if !note_losses(repository, damaged, &mut losses, &mut report)? {
        return Ok(report);
    }
    let mut rebuilder = Rebuilder::new(repository, context, losses);
    let snapshots = repository.snapshots()?.snapshots;
    for snapshot in &snapshots {
        context.check_cancelled()?;
        let survey = rebuilder.survey(snapshot)?;
        if survey.lost.is_empty() {
            continue;
        }
        let (repaired, was_there) = rebuild(repository, options, &mut rebuilder, snapshot, &snapshots)?;
        // The catalog of its session lists packs that no catalog listed before, which gives them other places.
        rebuilder.look_again()?;
        let lost = survey.lost.len() as u64;
        report.findings.extend(survey.lost);
        report.snapshots.push(RepairedSnapshot { id: snapshot.id, repaired, was_there, lost });
    }
    Ok(report)
}

impl RepairReport {
    fn find(&mut self, Damage { object, reason }: Damage) {
        self.findings.push(Finding { object: Some(object), path: None, reason });
    }
}

/// Reads every pack; gives those that are not what their names say.
fn read_packs(repository: &Repository, context: &Context, report: &mut RepairReport) -> Result<Vec<Damage>, Error> {
    let stored: Vec<(ObjectId, u64)> = repository.names(ObjectKind::Pack)?.into_iter().collect();
    context.progress.add_total(stored.len() as u64, stored.iter().map(|(_, len)| len).sum());
    context.progress.scan_finished.store(true, Ordering::Relaxed);
    let mut damaged = Vec::new();
    for (_, verdict) in look_at_packs(&stored, context, |_, id| repository.verify_pack_name(id))? {
        match verdict {
            Ok(len_bytes) => {
                report.packs_read += 1;
                report.bytes_read += len_bytes;
            }
            Err(RepositoryError::Damaged { object, reason }) => damaged.push(Damage { object, reason }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(damaged)
}

/// Records that packs are whole now that were damaged when a check read them last; without such a pack nothing is
/// written (I19).
fn record_whole(
    repository: &Repository,
    options: &RepairOptions,
    unsound: &BTreeSet<ObjectId>,
    report: &RepairReport,
) -> Result<(), RepositoryError> {
    let known = repository.verifications(options.now)?;
    let is_whole_again = |pack: &ObjectId| known.was_whole(pack) == Some(false) && !unsound.contains(pack);
    let stored = repository.names(ObjectKind::Pack)?.into_keys();
    let readings: BTreeMap<ObjectId, bool> = stored.filter(is_whole_again).map(|pack| (pack, true)).collect();
    if readings.is_empty() {
        return Ok(());
    }
    let (time, device) = (options.now, repository.device_id()?);
    let findings = report.findings.len() as u64;
    let run = CheckRun { time, device, reach: Reach::Sample, files_restored: 0, findings };
    repository.record_check(run, &readings)
}

/// Takes damaged and missing packs up, and tells those that are lost. Whether anything may be lost with them.
fn note_losses(
    repository: &Repository,
    damaged: Vec<Damage>,
    losses: &mut Losses<'_>,
    report: &mut RepairReport,
) -> Result<bool, Error> {
    let listed: BTreeSet<ObjectId> = repository.catalogued_packs().into_iter().map(|(pack, _)| pack).collect();
    let missing: BTreeSet<ObjectName> = repository.missing_packs()?.into_iter().collect();
    let mut may_be_lost = !missing.is_empty();
    // Packs that no catalog lists are of an interrupted backup: nothing refers to them. One that went while the others
    // were read is missing, and told once.
    for damage in damaged {
        if listed.contains(&damage.object.id) && !missing.contains(&damage.object) {
            let damage = losses.add_pack(damage)?;
            may_be_lost |= !losses.heals(&damage.object.id);
            report.find(damage);
        }
    }
    for object in missing {
        report.find(Damage { object, reason: "it is missing".to_owned() });
    }
    losses.look_into_packs()?;
    Ok(may_be_lost)
}

/// The snapshot of what is left of another, and whether it was there before.
fn rebuild(
    repository: &Repository,
    options: &RepairOptions,
    rebuilder: &mut Rebuilder<'_>,
    snapshot: &Snapshot,
    others: &[Snapshot],
) -> Result<(Option<ObjectId>, bool), Error> {
    let session = repository.begin(&options.session())?;
    // Beginning a session brings the index up to date, and places of before mean nothing any more.
    rebuilder.look_again()?;
    let mut writer = session.frame_writer()?;
    let left = rebuilder.rebuild(snapshot, &mut writer)?;
    writer.flush()?;
    drop(writer);
    if left.root.chunks.is_empty() {
        return Ok((None, false));
    }
    let manifest = &snapshot.manifest;
    let is_same = |other: &&Snapshot| {
        let own = &other.manifest;
        own.tags.iter().any(|tag| tag == REPAIRED_TAG)
            && (own.time, &own.host, &own.paths) == (manifest.time, &manifest.host, &manifest.paths)
            && own.root.content().is_ok_and(|root| root == left.root)
    };
    if let Some(other) = others.iter().find(is_same) {
        return Ok((Some(other.id), true));
    }
    let durable = session.seal()?;
    let mut tags = manifest.tags.clone();
    tags.push(REPAIRED_TAG.to_owned());
    let mut summary = manifest.summary;
    summary.files = summary.files.saturating_sub(left.files_lost);
    summary.bytes = summary.bytes.saturating_sub(left.bytes_lost);
    summary.errors = summary.errors.saturating_add(left.lost);
    let draft = SnapshotDraft {
        time: manifest.time,
        host: manifest.host.0.clone(),
        user: manifest.user.clone(),
        paths: manifest.paths.iter().map(|path| path.0.clone()).collect(),
        tags,
        root: left.root,
        summary,
        program: options.program.clone(),
    };
    Ok((Some(durable.publish(draft)?), false))
}
