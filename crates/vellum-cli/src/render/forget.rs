//! What `forget` decided: for people a table a group, for programs a line a group or named snapshot.

use super::human::table;
use super::json::SnapshotLine;
use crate::paths::{printable, text};
use crate::time::in_zone;
use crate::units::count;
use serde::Serialize;
use std::borrow::Cow;
use vellum::format::ObjectId;
use vellum::retention::{Count, Reason, TimeZone, Verdict};
use vellum::{ForgetPlan, PlannedGroup, Snapshot};

/// Why a snapshot is kept, one text a rule.
fn matches(verdict: &Verdict) -> Vec<String> {
    verdict.reasons.iter().map(words).collect()
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Counted { period, number, of, within, is_oldest } => {
            let rule = period.map_or("last", |period| period.adverb());
            let room = match (within, of) {
                (Some(span), _) => format!(" within {span}"),
                (None, Count::AtMost(count)) => format!(" of {count}"),
                (None, Count::All) => String::new(),
            };
            let oldest = if *is_oldest { ", as the oldest" } else { "" };
            format!("{rule} {number}{room}{oldest}")
        }
        Reason::Within(span) => format!("within {span}"),
        Reason::Tags(tags) if tags.iter().all(String::is_empty) => "no tags".to_owned(),
        Reason::Tags(tags) => format!("tags {}", tags.join(",")),
        Reason::Future => "dated in the future".to_owned(),
        Reason::MadeLast => "made last".to_owned(),
    }
}

/// Why a snapshot stays or goes, in one line.
fn explanation(verdict: &Verdict) -> String {
    let reasons = match verdict.is_kept() {
        true => matches(verdict).join("; "),
        false => "no rule keeps it".to_owned(),
    };
    let protected = if verdict.is_protected { " (not counting misdated ones)" } else { "" };
    let misdated = if verdict.is_misdated { "; misdated: before one that was made earlier" } else { "" };
    format!("{reasons}{protected}{misdated}")
}

/// A group with what becomes of each snapshot.
pub(crate) fn group(group: &PlannedGroup, zone: &TimeZone, explains: bool) -> String {
    let why = explains.then_some("Why");
    let mut rows = vec![row("", "ID", &text_columns(group, why, ["Time", "Host", "Tags", "Paths"]))];
    for (snapshot, verdict) in &group.snapshots {
        let manifest = &snapshot.manifest;
        let paths: Vec<_> = manifest.paths.iter().map(|path| printable(&path.0)).collect();
        let time = in_zone(manifest.time, zone);
        let tags = manifest.tags.join(",");
        let columns = [&*time, &*printable(&manifest.host.0), &*printable(tags.as_bytes()), &*paths.join(" ")];
        let what = if verdict.is_kept() { "keep" } else { "remove" };
        let why = explains.then(|| explanation(verdict));
        rows.push(row(what, &snapshot.id.short(), &text_columns(group, why.as_deref(), columns)));
    }
    let (kept, removed) = (group.kept().count(), group.removed().count());
    let key = group.key.to_string();
    format!("{}: keep {kept}, remove {removed}\n{}\n", printable(key.as_bytes()), table(&rows))
}

fn row(what: &str, id: &str, columns: &[String]) -> Vec<String> {
    [what.to_owned(), id.to_owned()].into_iter().chain(columns.iter().cloned()).collect()
}

/// What is not in the group's name already.
fn text_columns(group: &PlannedGroup, why: Option<&str>, [time, host, tags, paths]: [&str; 4]) -> Vec<String> {
    let host = group.key.host.is_none().then_some(host);
    let tags = group.key.tags.is_none().then_some(tags);
    let paths = group.key.paths.is_none().then_some(paths);
    [Some(time), host, tags, paths, why].into_iter().flatten().map(str::to_owned).collect()
}

/// Snapshots that were named.
pub(crate) fn named(named: &[(ObjectId, Option<Snapshot>)], zone: &TimeZone) -> String {
    let rows: Vec<Vec<String>> = named
        .iter()
        .map(|(id, snapshot)| {
            let described = snapshot.as_ref().map_or("damaged".to_owned(), |snapshot| {
                let manifest = &snapshot.manifest;
                let paths: Vec<_> = manifest.paths.iter().map(|path| printable(&path.0)).collect();
                let host = printable(&manifest.host.0);
                format!("{}  {host}  {}", in_zone(manifest.time, zone), paths.join(" "))
            });
            vec!["remove".to_owned(), id.short(), described]
        })
        .collect();
    table(&rows)
}

/// What was done in the end.
pub(crate) fn summary(plan: &ForgetPlan, dry_run: bool) -> String {
    let kept: usize = plan.groups.iter().map(|group| group.kept().count()).sum();
    let removed = count(plan.removed().len() as u64, "snapshot");
    let kept = if plan.named.is_empty() { format!(", kept {kept}") } else { String::new() };
    match dry_run {
        true => format!("dry run: {removed} would be removed{kept}; nothing was changed\n"),
        false => format!("removed {removed}{kept}\n"),
    }
}

/// What people should hear of a group besides: times that cannot be right, and changed what is kept.
pub(crate) fn warnings(group: &PlannedGroup) -> Vec<String> {
    let has_effect = |verdict: &Verdict| verdict.is_protected || verdict.reasons.contains(&Reason::MadeLast);
    let matters = group.snapshots.iter().any(|(_, verdict)| has_effect(verdict));
    let future = told(group, |verdict| verdict.reasons.contains(&Reason::Future));
    let future = future.map(|which| format!("dated in the future, so kept and counted by no rule: {which}"));
    let misdated = told(group, |verdict| verdict.is_misdated).filter(|_| matters);
    let misdated = misdated.map(|which| {
        format!("dated before snapshots that were made earlier, so more is kept than the rules ask for: {which}")
    });
    future.into_iter().chain(misdated).collect()
}

/// How many snapshots of a group are meant, and which is the first.
fn told(group: &PlannedGroup, is_meant: fn(&Verdict) -> bool) -> Option<String> {
    let meant: Vec<_> = group.snapshots.iter().filter(|(_, verdict)| is_meant(verdict)).collect();
    let (first, _) = meant.first()?;
    let more = if meant.len() > 1 { " and later" } else { "" };
    let count = count(meant.len() as u64, "snapshot");
    Some(format!("{count} of {} ({}{more})", printable(group.key.to_string().as_bytes()), first.id.short()))
}

/// A group of snapshots. Names as in restic where the meaning is the same.
#[derive(Serialize)]
pub(crate) struct GroupLine<'a> {
    tags: Option<&'a [String]>,
    host: Option<Cow<'a, str>>,
    paths: Option<Vec<Cow<'a, str>>>,
    device: Option<String>,
    keep: Vec<SnapshotLine<'a>>,
    remove: Vec<SnapshotLine<'a>>,
    reasons: Vec<ReasonLine<'a>>,
}

/// Why a snapshot is kept.
#[derive(Serialize)]
struct ReasonLine<'a> {
    snapshot: SnapshotLine<'a>,
    matches: Vec<String>,
    misdated: bool,
    protected: bool,
}

impl<'a> GroupLine<'a> {
    /// A group's fields.
    pub(crate) fn new(group: &'a PlannedGroup) -> Self {
        let reason = |(snapshot, verdict): &'a (Snapshot, Verdict)| ReasonLine {
            snapshot: SnapshotLine::new(snapshot),
            matches: matches(verdict),
            misdated: verdict.is_misdated,
            protected: verdict.is_protected,
        };
        Self {
            tags: group.key.tags.as_deref(),
            host: group.key.host.as_ref().map(|host| text(host)),
            paths: group.key.paths.as_ref().map(|paths| paths.iter().map(|path| text(path)).collect()),
            device: group.key.device.map(|device| device.to_string()),
            keep: group.kept().map(|(snapshot, _)| SnapshotLine::new(snapshot)).collect(),
            remove: group.removed().map(|(snapshot, _)| SnapshotLine::new(snapshot)).collect(),
            reasons: group.kept().map(reason).collect(),
        }
    }
}

/// A snapshot that was named.
#[derive(Serialize)]
pub(crate) struct NamedLine<'a> {
    id: String,
    short_id: String,
    snapshot: Option<SnapshotLine<'a>>,
}

impl<'a> NamedLine<'a> {
    /// A snapshot's fields; none of a damaged one's content is known.
    pub(crate) fn new((id, snapshot): &'a (ObjectId, Option<Snapshot>)) -> Self {
        Self { id: id.to_string(), short_id: id.short(), snapshot: snapshot.as_ref().map(SnapshotLine::new) }
    }
}

/// What was done in the end.
#[derive(Serialize)]
pub(crate) struct ForgetLine {
    dry_run: bool,
    groups: usize,
    snapshots_kept: usize,
    snapshots_removed: usize,
    tombstone: Option<String>,
}

impl ForgetLine {
    /// A plan's fields, and the tombstone if it was carried out.
    pub(crate) fn new(plan: &ForgetPlan, tombstone: Option<ObjectId>, dry_run: bool) -> Self {
        Self {
            dry_run,
            groups: plan.groups.len(),
            snapshots_kept: plan.groups.iter().map(|group| group.kept().count()).sum(),
            snapshots_removed: plan.removed().len(),
            tombstone: tombstone.map(|id| id.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum::retention::{Period, Span};

    #[test]
    fn reasons_name_their_rule() {
        let counted = |period, number, of, within, is_oldest| Reason::Counted { period, number, of, within, is_oldest };
        let month = Span { days: 30, ..Span::default() };
        for (reason, expected) in [
            (counted(None, 1, Count::AtMost(2), None, false), "last 1 of 2"),
            (counted(Some(Period::Day), 3, Count::AtMost(7), None, false), "daily 3 of 7"),
            (counted(Some(Period::Week), 9, Count::All, None, false), "weekly 9"),
            (counted(Some(Period::Year), 2, Count::AtMost(5), None, true), "yearly 2 of 5, as the oldest"),
            (counted(Some(Period::Hour), 4, Count::All, Some(month), false), "hourly 4 within 30d"),
            (Reason::Within(month), "within 30d"),
            (Reason::Tags(vec!["a".into(), "b".into()]), "tags a,b"),
            (Reason::Tags(vec![String::new()]), "no tags"),
        ] {
            assert_eq!(words(&reason), expected);
        }
    }
}
