//! Forgetting: from rules or names to the snapshots that go, with every refusal before anything is removed.

use crate::prune::freeing_space;
use crate::retention::{Candidate, Group, GroupKey, Grouping, Policy, TimeZone, Verdict, evaluate};
use crate::{Context, Error, SnapshotFilter, SnapshotRef};
use std::collections::BTreeMap;
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind, limits};
use vellum_repository::{History, HistoryFinding, Removal, Repository, RepositoryError, Snapshot, Snapshots};

/// Which snapshots go.
#[derive(Debug, Clone)]
pub enum ForgetTarget {
    /// These, as told; also the last of a group.
    Named(Vec<SnapshotRef>),
    /// What no rule keeps.
    Rules(Rules),
}

impl ForgetTarget {
    /// For people who read the tombstone: the rules, as far as there is room.
    fn reason(&self) -> String {
        let mut reason = match self {
            Self::Named(_) => "named".to_owned(),
            Self::Rules(rules) => rules.policy.to_string(),
        };
        reason.truncate(reason.floor_char_boundary(limits::TOMBSTONE_REASON_LEN_BYTES_MAX));
        reason
    }
}

/// How rules are applied.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rules {
    /// The rules.
    pub policy: Policy,
    /// Among which snapshots they count.
    pub grouping: Grouping,
    /// Whose days, weeks, months and years count.
    pub zone: TimeZone,
    /// Whether a group may lose all of its snapshots.
    pub allow_empty: bool,
}

impl Rules {
    /// Rules that count by host, paths and device.
    #[must_use]
    pub fn new(policy: Policy, zone: TimeZone) -> Self {
        Self { policy, grouping: Grouping::default(), zone, allow_empty: false }
    }
}

/// What is to be forgotten.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// Which snapshots go.
    pub target: ForgetTarget,
    /// Which snapshots count; of those that are named, only references such as `latest` look at it.
    pub filter: SnapshotFilter,
    /// Now. Snapshots dated later are kept.
    pub now: Timestamp,
    /// Only tells what would go.
    pub dry_run: bool,
    /// The host's name, for the tombstone.
    pub host: Vec<u8>,
    /// The user who forgets, for the tombstone.
    pub user: String,
    /// The program's name and version, for the tombstone.
    pub program: String,
}

impl ForgetOptions {
    /// Forgets among all snapshots, for no host and user.
    #[must_use]
    pub fn new(target: ForgetTarget, now: Timestamp) -> Self {
        Self {
            target,
            filter: SnapshotFilter::default(),
            now,
            dry_run: false,
            host: Vec::new(),
            user: String::new(),
            program: concat!("vellum ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What goes and what stays, and why.
#[derive(Debug, Default)]
pub struct ForgetPlan {
    /// Each group of snapshots that rules were applied to.
    pub groups: Vec<PlannedGroup>,
    /// The snapshots that were named, each once; those without content are damaged.
    pub named: Vec<(ObjectId, Option<Snapshot>)>,
    /// Tags to keep that no snapshot of the repository has.
    pub unknown_tags: Vec<Vec<String>>,
}

/// A group of snapshots with what becomes of each.
#[derive(Debug)]
pub struct PlannedGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// Oldest first.
    pub snapshots: Vec<(Snapshot, Verdict)>,
}

impl PlannedGroup {
    /// Those that stay.
    pub fn kept(&self) -> impl Iterator<Item = &(Snapshot, Verdict)> {
        self.snapshots.iter().filter(|(_, verdict)| verdict.is_kept())
    }

    /// Those that go.
    pub fn removed(&self) -> impl Iterator<Item = &(Snapshot, Verdict)> {
        self.snapshots.iter().filter(|(_, verdict)| !verdict.is_kept())
    }
}

impl ForgetPlan {
    /// Every snapshot that goes.
    #[must_use]
    pub fn removed(&self) -> Vec<ObjectId> {
        let by_rule = self.groups.iter().flat_map(|group| group.removed().map(|(snapshot, _)| snapshot.id));
        self.named.iter().map(|(id, _)| *id).chain(by_rule).collect()
    }
}

/// What was forgotten.
#[derive(Debug)]
#[non_exhaustive]
pub struct ForgetReport {
    /// What went and what stayed, and why; after a dry run, what would.
    pub plan: ForgetPlan,
    /// The record of the removal; none after a dry run, or when nothing went.
    pub tombstone: Option<ObjectId>,
    /// Records that cannot be read. Snapshots among them stayed, unless they were named.
    pub damaged: Vec<RepositoryError>,
    /// What an honest storage would not show: rules did not count what it withholds.
    pub findings: Vec<HistoryFinding>,
}

/// Removes snapshots that are named, or that no rule keeps. What only they needed stays until a prune.
///
/// A snapshot is removed as soon as a tombstone that names it is durable. An error or a crash before that leaves it;
/// after that it leaves at most files that count no more, which the next removal deletes.
///
/// # Errors
/// Those of [`plan_forget`], before anything is removed; [`Error::Cancelled`]; [`Error::Repository`].
pub fn forget(repository: &Repository, options: &ForgetOptions, context: &Context) -> Result<ForgetReport, Error> {
    let History { snapshots, damaged, findings, .. } = repository.history()?;
    let snapshots = Snapshots { snapshots, damaged, ..Snapshots::default() };
    let plan = plan_forget(&snapshots, options)?;
    context.check_cancelled()?;
    let removal = Removal {
        snapshots: plan.removed(),
        time: options.now,
        host: options.host.clone(),
        user: options.user.clone(),
        program: options.program.clone(),
        reason: options.target.reason(),
    };
    let tombstone = match options.dry_run || removal.snapshots.is_empty() {
        true => None,
        false => Some(freeing_space(repository, || Ok(repository.remove_snapshots(&removal)?))?),
    };
    Ok(ForgetReport { plan, tombstone, damaged: snapshots.damaged, findings })
}

/// Decides what goes, and removes nothing.
///
/// Damaged snapshots stay and count for nothing. References such as `latest` are refused while there are any, because
/// one of them might have been meant.
///
/// # Errors
/// [`Error::NoRetentionRule`], [`Error::UnknownKeepTag`], [`Error::GroupsEmptied`] for rules that could only be a
/// mistake; [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`], [`Error::NotOneSnapshot`], [`Error::DoubtfulSnapshot`]
/// for names.
pub fn plan_forget(snapshots: &Snapshots, options: &ForgetOptions) -> Result<ForgetPlan, Error> {
    match &options.target {
        ForgetTarget::Named(references) => {
            let named = resolve(snapshots, references, &options.filter)?;
            Ok(ForgetPlan { named, ..ForgetPlan::default() })
        }
        ForgetTarget::Rules(rules) => apply_rules(&snapshots.snapshots, rules, options),
    }
}

/// An id may also name a snapshot that is damaged, because nothing else gets rid of it.
fn resolve(
    snapshots: &Snapshots,
    references: &[SnapshotRef],
    filter: &SnapshotFilter,
) -> Result<Vec<(ObjectId, Option<Snapshot>)>, Error> {
    let mut named: Vec<(ObjectId, Option<Snapshot>)> = Vec::new();
    for reference in references {
        if reference.is_relative() && !snapshots.damaged.is_empty() {
            let (reference, damaged) = (reference.to_string(), snapshots.damaged.len());
            return Err(Error::DoubtfulSnapshot { reference, damaged });
        }
        let damaged: Vec<ObjectId> = damaged_ids(snapshots).filter(|id| reference.is_start_of(*id)).collect();
        let found = match (reference.among(&snapshots.snapshots, filter), damaged.as_slice()) {
            (Err(Error::NoSnapshot { .. }), [id]) => (*id, None),
            (Ok(snapshot), []) => (snapshot.id, Some(snapshot.clone())),
            (Err(error), _) if damaged.is_empty() => return Err(error),
            (_, damaged) => {
                let readable = snapshots.snapshots.iter().filter(|snapshot| reference.is_start_of(snapshot.id)).count();
                let (reference, count) = (reference.to_string(), readable + damaged.len());
                return Err(Error::AmbiguousSnapshot { reference, count });
            }
        };
        if named.iter().all(|(id, _)| *id != found.0) {
            named.push(found);
        }
    }
    Ok(named)
}

fn damaged_ids(snapshots: &Snapshots) -> impl Iterator<Item = ObjectId> {
    snapshots.damaged.iter().filter_map(|error| match error {
        RepositoryError::Damaged { object, .. } if object.kind == ObjectKind::Snapshot => Some(object.id),
        _ => None,
    })
}

fn apply_rules(snapshots: &[Snapshot], rules: &Rules, options: &ForgetOptions) -> Result<ForgetPlan, Error> {
    let policy = &rules.policy;
    if policy.is_empty() {
        return Err(Error::NoRetentionRule);
    }
    let is_unknown = |set: &&Vec<String>| !snapshots.iter().any(|snapshot| Candidate::from(snapshot).has_tags(set));
    let unknown_tags: Vec<Vec<String>> = policy.tags.iter().filter(is_unknown).cloned().collect();
    if policy.has_only_tags() && unknown_tags.len() == policy.tags.len() && !snapshots.is_empty() {
        let tags = unknown_tags.iter().map(|set| set.join(",")).collect::<Vec<_>>().join(", ");
        return Err(Error::UnknownKeepTag { tags });
    }
    let considered: BTreeMap<ObjectId, &Snapshot> =
        snapshots.iter().filter(|snapshot| options.filter.matches(snapshot)).map(|found| (found.id, found)).collect();
    let candidates: Vec<Candidate> = considered.values().map(|snapshot| Candidate::from(*snapshot)).collect();
    let groups = evaluate(&candidates, policy, rules.grouping, &rules.zone, options.now);
    let is_emptied = |group: &&Group| group.verdicts.iter().all(|verdict| !verdict.is_kept());
    let emptied: Vec<&Group> = groups.iter().filter(is_emptied).collect();
    if let Some(first) = emptied.first().filter(|_| !rules.allow_empty) {
        let (count, others) = (first.verdicts.len(), emptied.len() - 1);
        return Err(Error::GroupsEmptied { group: first.key.to_string(), count, others });
    }
    let planned = groups.into_iter().map(|group| {
        let snapshots = group.verdicts.into_iter().map(|verdict| (considered[&verdict.snapshot].clone(), verdict));
        PlannedGroup { key: group.key, snapshots: snapshots.collect() }
    });
    Ok(ForgetPlan { groups: planned.collect(), unknown_tags, ..ForgetPlan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Count;
    use vellum_format::content::Content;
    use vellum_format::snapshot::{Root, SnapshotManifest, Summary};
    use vellum_format::{Bytes, DeviceId, ObjectName, RepositoryId};

    const NOW: Timestamp = Timestamp { seconds: 1_000_000, nanoseconds: 0 };

    fn id(text: &str) -> ObjectId {
        ObjectId::from_hex(&format!("{text:0<64}")).unwrap()
    }

    fn snapshot(name: &str, host: &str, tag: &str, seconds: i64) -> Snapshot {
        let manifest = SnapshotManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            sequence: seconds.unsigned_abs(),
            previous: None,
            seen: vec![],
            intent: id(name),
            time: Timestamp { seconds, nanoseconds: 0 },
            host: Bytes(host.as_bytes().to_vec()),
            user: String::new(),
            paths: vec![Bytes(b"/home".to_vec())],
            tags: vec![tag.to_owned()],
            root: Root::new(&Content::empty(), "private"),
            summary: Summary::default(),
            program: String::new(),
            must_understand: vec![],
        };
        Snapshot { id: id(name), manifest }
    }

    fn three() -> Snapshots {
        let snapshots = vec![snapshot("aa1", "a", "x", 1), snapshot("aa2", "a", "y", 2), snapshot("bb1", "b", "y", 3)];
        Snapshots { snapshots, ..Snapshots::default() }
    }

    fn with_damage(name: &str) -> Snapshots {
        let object = ObjectName::new(ObjectKind::Snapshot, id(name));
        Snapshots { damaged: vec![RepositoryError::Damaged { object, reason: "changed".to_owned() }], ..three() }
    }

    fn named(snapshots: &Snapshots, references: &[SnapshotRef]) -> Result<Vec<ObjectId>, Error> {
        let options = ForgetOptions::new(ForgetTarget::Named(references.to_vec()), NOW);
        plan_forget(snapshots, &options).map(|plan| plan.removed())
    }

    fn by_rules(policy: Policy, change: impl Fn(&mut Rules, &mut ForgetOptions)) -> Result<Vec<ObjectId>, Error> {
        let mut rules = Rules::new(policy, TimeZone::UTC);
        let mut options = ForgetOptions::new(ForgetTarget::Named(vec![]), NOW);
        change(&mut rules, &mut options);
        options.target = ForgetTarget::Rules(rules);
        plan_forget(&three(), &options).map(|plan| plan.removed())
    }

    fn tagged(sets: &[&[&str]]) -> Policy {
        let sets = sets.iter().map(|set| set.iter().map(|tag| (*tag).to_owned()).collect());
        Policy { tags: sets.collect(), ..Policy::default() }
    }

    #[test]
    fn names_are_one_snapshot_each_or_nothing_goes() {
        let short = |text: &str| SnapshotRef::Id(text.to_owned());
        let both = [short("aa1"), SnapshotRef::Latest(0), short("aa10"), short("bb")];
        assert_eq!(named(&three(), &both).unwrap(), [id("aa1"), id("bb1")]);
        let ambiguous = named(&three(), &[short("bb"), short("aa")]);
        assert!(matches!(ambiguous, Err(Error::AmbiguousSnapshot { count: 2, .. })));
        assert!(matches!(named(&three(), &[short("bb"), short("cc")]), Err(Error::NoSnapshot { .. })));
    }

    #[test]
    fn a_time_names_the_only_snapshot_of_it_or_nothing_goes() {
        let during = |first, last| {
            SnapshotRef::During(
                Timestamp { seconds: first, nanoseconds: 0 },
                Timestamp { seconds: last, nanoseconds: 999_999_999 },
            )
        };
        assert_eq!(named(&three(), &[during(2, 2)]).unwrap(), [id("aa2")]);
        let refused = |first, last| match named(&three(), &[during(first, last)]) {
            Err(Error::NotOneSnapshot { count, candidates, .. }) => {
                (count, candidates.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(4, 9), (0, vec![id("bb1")]));
        assert_eq!(refused(-9, 0), (0, vec![id("aa1")]));
        assert_eq!(refused(1, 2), (2, vec![id("aa2"), id("aa1")]));
        let mut sparse = three();
        sparse.snapshots.remove(1);
        let between = named(&sparse, &[during(2, 2)]);
        assert!(
            matches!(between, Err(Error::NotOneSnapshot { count: 0, ref candidates, .. }) if candidates.len() == 2)
        );
    }

    #[test]
    fn damaged_snapshots_go_by_their_id_and_make_other_names_doubtful() {
        let short = |text: &str| SnapshotRef::Id(text.to_owned());
        assert_eq!(named(&with_damage("cc1"), &[short("cc")]).unwrap(), [id("cc1")]);
        assert_eq!(named(&with_damage("cc1"), &[short("bb")]).unwrap(), [id("bb1")]);
        let ambiguous = named(&with_damage("bb2"), &[short("bb")]);
        assert!(matches!(ambiguous, Err(Error::AmbiguousSnapshot { count: 2, .. })));
        assert!(matches!(named(&with_damage("aa3"), &[short("aa")]), Err(Error::AmbiguousSnapshot { count: 3, .. })));
        assert!(matches!(named(&with_damage("cc1"), &[short("dd")]), Err(Error::NoSnapshot { .. })));
        for doubtful in [SnapshotRef::Latest(0), SnapshotRef::At(NOW), SnapshotRef::During(NOW, NOW)] {
            assert!(matches!(named(&with_damage("cc1"), &[doubtful]), Err(Error::DoubtfulSnapshot { damaged: 1, .. })));
        }
    }

    #[test]
    fn rules_leave_something_of_each_group() {
        let last = Policy { last: Count::AtMost(1), ..Policy::default() };
        assert_eq!(by_rules(last, |_, _| ()).unwrap(), [id("aa1")]);
        let emptied = by_rules(tagged(&[&["x"]]), |_, _| ());
        assert!(
            matches!(emptied, Err(Error::GroupsEmptied { count: 1, others: 0, ref group }) if group.contains("host b"))
        );
        let emptied = by_rules(tagged(&[&["x"]]), |rules, _| rules.grouping.tags = true);
        assert!(matches!(emptied, Err(Error::GroupsEmptied { others: 1, .. })));
        let allowed = by_rules(tagged(&[&["x"]]), |rules, _| rules.allow_empty = true);
        assert_eq!(allowed.unwrap(), [id("aa2"), id("bb1")]);
        let filtered = by_rules(tagged(&[&["x"]]), |_, options| options.filter.hosts = vec![b"a".to_vec()]);
        assert_eq!(filtered.unwrap(), [id("aa2")]);
    }

    #[test]
    fn rules_that_keep_nothing_and_tags_that_nothing_has_are_refused() {
        let allow = |rules: &mut Rules, _: &mut ForgetOptions| rules.allow_empty = true;
        let zero = Policy { daily: Count::AtMost(0), ..Policy::default() };
        assert!(matches!(by_rules(zero, allow), Err(Error::NoRetentionRule)));
        let unknown = by_rules(tagged(&[&["z"], &["x", "y"]]), allow);
        assert!(matches!(unknown, Err(Error::UnknownKeepTag { ref tags }) if tags == "z, x,y"));
        // A rule beside it, or another tag, makes sure of something: then it is only told.
        assert_eq!(by_rules(tagged(&[&["z"], &["y"]]), allow).unwrap(), [id("aa1")]);
        let policy = Policy { last: Count::AtMost(1), ..tagged(&[&["z"]]) };
        let options = ForgetOptions::new(ForgetTarget::Rules(Rules::new(policy, TimeZone::UTC)), NOW);
        assert_eq!(plan_forget(&three(), &options).unwrap().unknown_tags, [["z"]]);
    }

    #[test]
    fn the_reason_of_a_tombstone_has_its_limit() {
        let target = ForgetTarget::Rules(Rules::new(tagged(&[&["ä".repeat(5000).as_str()]]), TimeZone::UTC));
        let reason = target.reason();
        assert!(reason.starts_with("keep-tag ä") && (4095..=4096).contains(&reason.len()));
    }
}
