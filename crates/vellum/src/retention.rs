//! Which snapshots retention rules keep, and why. Pure: times, zone and snapshots come in, verdicts go out.
//!
//! Rules mean what they mean in restic: each counts periods of the calendar from the newest snapshot back, and keeps
//! the newest snapshot of each; while a rule has periods left, the oldest snapshot of all counts too.
//!
//! A time is only what a device's clock said, or what somebody wants others to believe. So three things bound what a
//! wrong or forged time can do (decision 0019): every device is a group of its own; a snapshot dated after now is kept
//! and counts for nothing; and what the rules would keep among the snapshots whose times run with the order in which
//! they were made is kept, whatever the others claim.

mod calendar;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vellum_format::snapshot::Timestamp;
use vellum_format::{DeviceId, ObjectId};
use vellum_repository::Snapshot;

pub use calendar::{Period, Span};
pub use jiff::tz::TimeZone;

/// How many snapshots a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This many; 0 turns the rule off.
    AtMost(u32),
    /// Without a limit.
    All,
}

impl Default for Count {
    fn default() -> Self {
        Self::AtMost(0)
    }
}

impl Count {
    fn is_off(self) -> bool {
        self == Self::AtMost(0)
    }

    fn allows_another(self, used: u32) -> bool {
        match self {
            Self::AtMost(count) => used < count,
            Self::All => true,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(count) => count.fmt(f),
            Self::All => f.write_str("unlimited"),
        }
    }
}

/// Retention rules. A snapshot that any of them keeps is kept. The default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Policy {
    /// The newest, whatever their times.
    pub last: Count,
    /// The newest of each hour.
    pub hourly: Count,
    /// The newest of each day.
    pub daily: Count,
    /// The newest of each week, which begins on Monday.
    pub weekly: Count,
    /// The newest of each month.
    pub monthly: Count,
    /// The newest of each year.
    pub yearly: Count,
    /// All that are less than this older than the newest.
    pub within: Option<Span>,
    /// The newest of each hour, of those within this span before the newest.
    pub within_hourly: Option<Span>,
    /// The newest of each day, of those within this span before the newest.
    pub within_daily: Option<Span>,
    /// The newest of each week, of those within this span before the newest.
    pub within_weekly: Option<Span>,
    /// The newest of each month, of those within this span before the newest.
    pub within_monthly: Option<Span>,
    /// The newest of each year, of those within this span before the newest.
    pub within_yearly: Option<Span>,
    /// Those that have every tag of one of these sets. An empty tag stands for having none.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// Whether no rule could keep anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.has_only_tags()
    }

    /// Whether no rule but those of tags could keep anything.
    #[must_use]
    pub fn has_only_tags(&self) -> bool {
        let spans = self.spans();
        self.counts().iter().all(|(_, count)| count.is_off()) && spans.iter().all(|(_, span)| span.is_none())
    }

    /// The rules that count, with the period whose newest snapshot counts; without one, every snapshot does.
    fn counts(&self) -> [(Option<Period>, Count); 6] {
        [
            (None, self.last),
            (Some(Period::Hour), self.hourly),
            (Some(Period::Day), self.daily),
            (Some(Period::Week), self.weekly),
            (Some(Period::Month), self.monthly),
            (Some(Period::Year), self.yearly),
        ]
    }

    /// The rules that keep what is young, in the same way.
    fn spans(&self) -> [(Option<Period>, Option<Span>); 6] {
        let on = |span: Option<Span>| span.filter(|span| !span.is_zero());
        [
            (None, on(self.within)),
            (Some(Period::Hour), on(self.within_hourly)),
            (Some(Period::Day), on(self.within_daily)),
            (Some(Period::Week), on(self.within_weekly)),
            (Some(Period::Month), on(self.within_monthly)),
            (Some(Period::Year), on(self.within_yearly)),
        ]
    }
}

/// The rules as they would be typed, without dashes in front.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |period: Option<Period>| period.map_or("last", Period::adverb);
        let within = |period: Option<Period>| period.map_or(String::new(), |period| format!("-{}", period.adverb()));
        let counts = self.counts().into_iter().filter(|(_, count)| !count.is_off());
        let counts = counts.map(|(period, count)| format!("keep-{} {count}", name(period)));
        let spans = self.spans().into_iter().filter_map(|(period, span)| Some((period, span?)));
        let spans = spans.map(|(period, span)| format!("keep-within{} {span}", within(period)));
        let tags = self.tags.iter().map(|set| format!("keep-tag {}", set.join(",")));
        f.write_str(&counts.chain(spans).chain(tags).collect::<Vec<_>>().join(", "))
    }
}

/// What makes snapshots a group beside the device that signed them. Rules count in each group by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// The host's name.
    pub host: bool,
    /// The paths that were asked for, in any order.
    pub paths: bool,
    /// The tags, in any order.
    pub tags: bool,
    /// Count the snapshots of all devices together: what one device makes may then push out what another made.
    pub across_devices: bool,
}

impl Default for Grouping {
    fn default() -> Self {
        Self { host: true, paths: true, tags: false, across_devices: false }
    }
}

/// What the snapshots of a group have in common; `None` is what they were not grouped by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The host's name.
    pub host: Option<Vec<u8>>,
    /// The paths, sorted.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags, sorted.
    pub tags: Option<Vec<String>>,
    /// Who signed them.
    pub device: Option<DeviceId>,
}

impl GroupKey {
    fn of(candidate: &Candidate, grouping: Grouping) -> Self {
        fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
            items.iter().cloned().collect::<BTreeSet<T>>().into_iter().collect()
        }
        Self {
            host: grouping.host.then(|| candidate.host.clone()),
            paths: grouping.paths.then(|| sorted(&candidate.paths)),
            tags: grouping.tags.then(|| sorted(&candidate.tags)),
            device: (!grouping.across_devices).then_some(candidate.device),
        }
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_ref().map(|host| format!("host {}", String::from_utf8_lossy(host)));
        let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
        let paths = self.paths.as_ref().map(|paths| paths.iter().map(text).collect::<Vec<_>>().join(" "));
        let tags = self.tags.as_ref().map(|tags| match tags.is_empty() {
            true => "no tags".to_owned(),
            false => format!("tags {}", tags.join(",")),
        });
        let device = self.device.map(|device| format!("device {}", device.short()));
        let parts: Vec<String> = [host, paths, tags, device].into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "all snapshots" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// A snapshot as the rules see it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub id: ObjectId,
    /// When it was made, as its device says.
    pub time: Timestamp,
    /// Who signed it.
    pub device: DeviceId,
    /// Its place in history: greater than that of every record that its writer saw.
    pub sequence: u64,
    /// The host's name.
    pub host: Vec<u8>,
    /// The paths asked for.
    pub paths: Vec<Vec<u8>>,
    /// Labels.
    pub tags: Vec<String>,
}

impl Candidate {
    pub(crate) fn has_tags(&self, set: &[String]) -> bool {
        set.iter().all(|tag| if tag.is_empty() { self.tags.is_empty() } else { self.tags.contains(tag) })
    }

    fn by_time(&self) -> (Timestamp, u64, ObjectId) {
        (self.time, self.sequence, self.id)
    }

    fn by_order(&self) -> (u64, Timestamp, ObjectId) {
        (self.sequence, self.time, self.id)
    }
}

impl From<&Snapshot> for Candidate {
    fn from(snapshot: &Snapshot) -> Self {
        let manifest = &snapshot.manifest;
        Self {
            id: snapshot.id,
            time: manifest.time,
            device: manifest.device,
            sequence: manifest.sequence,
            host: manifest.host.0.clone(),
            paths: manifest.paths.iter().map(|path| path.0.clone()).collect(),
            tags: manifest.tags.clone(),
        }
    }
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A rule that counts has room for it.
    Counted {
        /// The period whose newest snapshot it is; `None` for `last`.
        period: Option<Period>,
        /// Which one it is, from 1 for the newest.
        number: u32,
        /// How many the rule keeps.
        of: Count,
        /// The rule counts only what is within this span before the newest.
        within: Option<Span>,
        /// Its period has a newer snapshot; it counts because it is the oldest and the rule has room left.
        is_oldest: bool,
    },
    /// It is less than this older than the newest.
    Within(Span),
    /// It has all of these tags.
    Tags(Vec<String>),
    /// It is dated after now, so no rule can judge it.
    Future,
    /// It was made last, although its time says otherwise.
    MadeLast,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub snapshot: ObjectId,
    /// Every reason to keep it; without any it goes.
    pub reasons: Vec<Reason>,
    /// It is dated before one of its group that was made earlier.
    pub is_misdated: bool,
    /// The reasons hold only when misdated snapshots are left aside.
    pub is_protected: bool,
}

impl Verdict {
    /// Whether it is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Snapshots among which rules count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub key: GroupKey,
    /// One for each, oldest first.
    pub verdicts: Vec<Verdict>,
}

/// Applies rules to each group of snapshots. Periods are those of `zone`.
///
/// A policy that [is empty](Policy::is_empty) keeps only what is dated after `now`; callers refuse it.
#[must_use]
pub fn evaluate(
    candidates: &[Candidate],
    policy: &Policy,
    grouping: Grouping,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Group> {
    let mut groups: BTreeMap<GroupKey, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(GroupKey::of(candidate, grouping)).or_default().push(candidate);
    }
    let judged = groups.into_iter().map(|(key, mut members)| {
        members.sort_by_key(|candidate| candidate.by_time());
        let verdicts = judge(&members, policy, zone, now);
        Group { key, verdicts }
    });
    judged.collect()
}

/// Judges a group, oldest first.
fn judge(members: &[&Candidate], policy: &Policy, zone: &TimeZone, now: Timestamp) -> Vec<Verdict> {
    let (past, future) = members.split_at(members.partition_point(|candidate| candidate.time <= now));
    let in_order = in_order(past);
    let mut verdicts = apply(policy, past, zone);
    if in_order.len() < past.len() {
        let orderly: Vec<&Candidate> = past.iter().filter(|past| in_order.contains(&past.id)).copied().collect();
        protect(&mut verdicts, apply(policy, &orderly, zone));
    }
    for verdict in &mut verdicts {
        verdict.is_misdated = !in_order.contains(&verdict.snapshot);
    }
    let made_last = past.iter().max_by_key(|candidate| candidate.by_order()).map(|candidate| candidate.id);
    let made_last = verdicts.iter_mut().find(|verdict| Some(verdict.snapshot) == made_last);
    if let Some(verdict) = made_last.filter(|verdict| verdict.is_misdated && !verdict.is_kept()) {
        verdict.reasons.push(Reason::MadeLast);
    }
    let future = future.iter().map(|candidate| Verdict::new(candidate.id, vec![Reason::Future]));
    verdicts.into_iter().chain(future).collect()
}

impl Verdict {
    const fn new(snapshot: ObjectId, reasons: Vec<Reason>) -> Self {
        Self { snapshot, reasons, is_misdated: false, is_protected: false }
    }
}

/// Those whose times do not lie before the time of one made earlier.
fn in_order(past: &[&Candidate]) -> BTreeSet<ObjectId> {
    let mut chain = past.to_vec();
    chain.sort_by_key(|candidate| candidate.by_order());
    let mut newest = None;
    let mut orderly = BTreeSet::new();
    for candidate in chain {
        if newest.is_none_or(|newest| candidate.time >= newest) {
            newest = Some(candidate.time);
            orderly.insert(candidate.id);
        }
    }
    orderly
}

/// Keeps what the orderly snapshots alone would keep.
fn protect(verdicts: &mut [Verdict], orderly: Vec<Verdict>) {
    let mut orderly: BTreeMap<ObjectId, Verdict> =
        orderly.into_iter().map(|verdict| (verdict.snapshot, verdict)).collect();
    for verdict in verdicts.iter_mut().filter(|verdict| !verdict.is_kept()) {
        if let Some(protected) = orderly.remove(&verdict.snapshot).filter(Verdict::is_kept) {
            *verdict = Verdict { is_protected: true, ..protected };
        }
    }
}

/// What the rules say about snapshots, oldest first, by their times alone.
fn apply(policy: &Policy, snapshots: &[&Candidate], zone: &TimeZone) -> Vec<Verdict> {
    let Some(newest) = snapshots.last() else { return Vec::new() };
    let start = |span: Span| span.before(newest.time, zone);
    let counted = policy.counts().into_iter().map(|(period, of)| Counter::new(period, of, None));
    let spans = policy.spans().into_iter().filter_map(|(period, span)| Some((period, span?)));
    let windowed = spans.clone().filter_map(|(period, span)| Some((period?, span)));
    let windowed = windowed.map(|(period, span)| Counter::new(Some(period), Count::All, Some((span, start(span)))));
    let mut counters: Vec<Counter> = counted.chain(windowed).collect();
    let within = spans.clone().find(|(period, _)| period.is_none()).map(|(_, span)| (span, start(span)));
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(snapshots.len());
    for (place, candidate) in snapshots.iter().enumerate().rev() {
        let tags = policy.tags.iter().filter(|set| candidate.has_tags(set)).map(|set| Reason::Tags(set.clone()));
        let within = within.filter(|(_, start)| candidate.time > *start).map(|(span, _)| Reason::Within(span));
        let counted = counters.iter_mut().filter_map(|counter| counter.take(candidate.time, place == 0, zone));
        verdicts.push(Verdict::new(candidate.id, counted.chain(within).chain(tags).collect()));
    }
    verdicts.reverse();
    verdicts
}

/// A rule that counts, on its way from the newest snapshot to the oldest.
struct Counter {
    period: Option<Period>,
    of: Count,
    within: Option<(Span, Timestamp)>,
    used: u32,
    /// The earliest period that was counted.
    earliest: Option<i64>,
}

impl Counter {
    const fn new(period: Option<Period>, of: Count, within: Option<(Span, Timestamp)>) -> Self {
        Self { period, of, within, used: 0, earliest: None }
    }

    fn take(&mut self, time: Timestamp, is_oldest: bool, zone: &TimeZone) -> Option<Reason> {
        let is_outside = self.within.is_some_and(|(_, start)| time <= start);
        if is_outside || !self.of.allows_another(self.used) {
            return None;
        }
        let label = self.period.map(|period| period.label(time, zone));
        // Where clocks go back over midnight a day comes twice; it counts once.
        let is_new = label.zip(self.earliest).is_none_or(|(label, earliest)| label < earliest);
        if !is_new && !is_oldest {
            return None;
        }
        self.earliest = label.min(self.earliest).or(label);
        self.used = self.used.saturating_add(1);
        Some(Reason::Counted {
            period: self.period,
            number: self.used,
            of: self.of,
            within: self.within.map(|(span, _)| span),
            is_oldest: !is_new,
        })
    }
}
