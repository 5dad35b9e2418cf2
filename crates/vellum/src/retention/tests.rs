//! What the rules keep, and what no wrong or forged time can make them remove.

mod calendar;
mod properties;

use super::*;

/// 2026-06-01, a Monday, at midnight UTC.
const JUNE: i64 = 1_780_272_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: 0 }
}

/// A snapshot of one host, path and device; the sequence number is its name.
fn made(sequence: u64, seconds: i64) -> Candidate {
    Candidate {
        id: ObjectId::of(&sequence.to_le_bytes()),
        time: at(seconds),
        device: DeviceId::from_bytes([1; 16]),
        sequence,
        host: b"host".to_vec(),
        paths: vec![b"/home".to_vec()],
        tags: vec![],
    }
}

/// One a day, ending on the 10th of June 2026.
fn daily(count: u64) -> Vec<Candidate> {
    let day = |sequence: u64| JUNE + 9 * DAY - (count - sequence).cast_signed() * DAY + 10 * HOUR;
    (1..=count).map(|sequence| made(sequence, day(sequence))).collect()
}

const NOW: i64 = JUNE + 10 * DAY;

fn groups(candidates: &[Candidate], policy: &Policy) -> Vec<Group> {
    evaluate(candidates, policy, Grouping::default(), &TimeZone::UTC, at(NOW))
}

/// The sequence numbers of what is kept.
fn kept(candidates: &[Candidate], policy: &Policy) -> Vec<u64> {
    let verdicts = groups(candidates, policy).into_iter().flat_map(|group| group.verdicts);
    let ids: BTreeSet<ObjectId> = verdicts.filter(Verdict::is_kept).map(|verdict| verdict.snapshot).collect();
    candidates.iter().filter(|candidate| ids.contains(&candidate.id)).map(|candidate| candidate.sequence).collect()
}

fn reasons(candidates: &[Candidate], policy: &Policy, sequence: u64) -> Vec<Reason> {
    let id = ObjectId::of(&sequence.to_le_bytes());
    let verdicts = groups(candidates, policy).into_iter().flat_map(|group| group.verdicts);
    verdicts.filter(|verdict| verdict.snapshot == id).flat_map(|verdict| verdict.reasons).collect()
}

fn counted(period: Option<Period>, number: u32, of: Count) -> Reason {
    Reason::Counted { period, number, of, within: None, is_oldest: false }
}

const fn days(days: u32) -> Span {
    Span { years: 0, months: 0, days, hours: 0 }
}

#[test]
fn last_keeps_the_newest() {
    let policy = Policy { last: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&daily(5), &policy), [4, 5]);
    assert_eq!(reasons(&daily(5), &policy, 4), [counted(None, 2, Count::AtMost(2))]);
    assert_eq!(kept(&daily(5), &Policy { last: Count::All, ..Policy::default() }), [1, 2, 3, 4, 5]);
    assert_eq!(kept(&daily(5), &Policy { last: Count::AtMost(9), ..Policy::default() }), [1, 2, 3, 4, 5]);
}

#[test]
fn the_newest_of_each_period_is_kept() {
    let twice_a_day: Vec<Candidate> =
        (0..8).map(|count| made(count + 1, JUNE + count.cast_signed() * 12 * HOUR)).collect();
    let policy = Policy { daily: Count::AtMost(3), ..Policy::default() };
    assert_eq!(kept(&twice_a_day, &policy), [4, 6, 8]);
    assert_eq!(reasons(&twice_a_day, &policy, 4), [counted(Some(Period::Day), 3, Count::AtMost(3))]);
    let policy = Policy { daily: Count::AtMost(2), last: Count::AtMost(1), ..Policy::default() };
    assert_eq!(
        reasons(&twice_a_day, &policy, 8),
        [counted(None, 1, Count::AtMost(1)), counted(Some(Period::Day), 1, Count::AtMost(2))]
    );
    let policy = Policy { hourly: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&twice_a_day, &policy), [7, 8]);
}

#[test]
fn weeks_begin_on_monday_and_months_with_their_first() {
    // The 10th of June 2026 is a Wednesday.
    let policy = Policy { weekly: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&daily(40), &policy), [37, 40], "Sunday the 7th and Wednesday the 10th");
    let policy = Policy { monthly: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&daily(70), &policy), [60, 70], "the 31st of May and the 10th of June");
}

#[test]
fn the_oldest_counts_while_a_rule_has_room() {
    let policy = Policy { monthly: Count::AtMost(4), ..Policy::default() };
    assert_eq!(kept(&daily(70), &policy), [1, 29, 60, 70], "the 2nd of April beside the 30th");
    assert_eq!(kept(&daily(70), &Policy { monthly: Count::AtMost(3), ..Policy::default() }), [29, 60, 70]);
    let policy = Policy { yearly: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&daily(70), &policy), [1, 70]);
    let oldest =
        Reason::Counted { period: Some(Period::Year), number: 2, of: Count::AtMost(2), within: None, is_oldest: true };
    assert_eq!(reasons(&daily(70), &policy, 1), [oldest]);
    let policy = Policy { yearly: Count::AtMost(1), ..Policy::default() };
    assert_eq!(kept(&daily(70), &policy), [70]);
    assert_eq!(kept(&daily(70), &Policy { yearly: Count::All, ..Policy::default() }), [1, 70]);
}

#[test]
fn within_counts_from_the_newest() {
    let policy = Policy { within: Some(days(2)), ..Policy::default() };
    assert_eq!(kept(&daily(9), &policy), [8, 9], "what is exactly two days older goes");
    assert_eq!(reasons(&daily(9), &policy, 8), [Reason::Within(days(2))]);
    let policy = Policy { within: Some(Span { hours: 49, ..Span::default() }), ..Policy::default() };
    assert_eq!(kept(&daily(9), &policy), [7, 8, 9]);
    let policy = Policy { within: Some(Span { years: u32::MAX, ..Span::default() }), ..Policy::default() };
    assert_eq!(kept(&daily(3), &policy), [1, 2, 3]);
    let month = Span { months: 1, ..Span::default() };
    let policy = Policy { within_weekly: Some(month), ..Policy::default() };
    assert_eq!(kept(&daily(60), &policy), [36, 43, 50, 57, 60], "Sundays after the 10th of May");
    let reason = Reason::Counted {
        period: Some(Period::Week),
        number: 2,
        of: Count::All,
        within: Some(month),
        is_oldest: false,
    };
    assert_eq!(reasons(&daily(60), &policy, 57), [reason]);
}

#[test]
fn tags_need_all_of_a_set_and_any_set() {
    let mut candidates = daily(4);
    for (candidate, tags) in candidates.iter_mut().zip([&["a"][..], &["a", "b"], &["c"], &[]]) {
        candidate.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    }
    let policy = |sets: &[&[&str]]| Policy {
        tags: sets.iter().map(|set| set.iter().map(|tag| (*tag).to_owned()).collect()).collect(),
        ..Policy::default()
    };
    assert_eq!(kept(&candidates, &policy(&[&["a"]])), [1, 2]);
    assert_eq!(kept(&candidates, &policy(&[&["a", "b"]])), [2]);
    assert_eq!(kept(&candidates, &policy(&[&["a", "b"], &["c"]])), [2, 3]);
    assert_eq!(kept(&candidates, &policy(&[&[""]])), [4]);
    assert_eq!(kept(&candidates, &policy(&[&["d"]])), [0; 0]);
    let set = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(reasons(&candidates, &policy(&[&["a", "b"]]), 2), [Reason::Tags(set)]);
}

#[test]
fn groups_are_what_was_asked_for_and_always_one_device() {
    let mut candidates = daily(4);
    candidates[1].host = b"other".to_vec();
    candidates[2].paths = vec![b"/b".to_vec(), b"/a".to_vec()];
    candidates[3].paths = vec![b"/a".to_vec(), b"/b".to_vec()];
    candidates[3].tags = vec!["x".to_owned()];
    let policy = Policy { last: Count::AtMost(1), ..Policy::default() };
    let kept_by = |grouping| {
        let groups = evaluate(&candidates, &policy, grouping, &TimeZone::UTC, at(NOW));
        groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.is_kept()).count()
    };
    let none = Grouping { host: false, paths: false, tags: false, across_devices: false };
    assert_eq!(kept_by(Grouping::default()), 3, "paths in another order are the same paths");
    assert_eq!(kept_by(Grouping { tags: true, ..Grouping::default() }), 4);
    assert_eq!(kept_by(Grouping { host: true, ..none }), 2);
    assert_eq!(kept_by(none), 1);
    candidates[0].device = DeviceId::from_bytes([9; 16]);
    let kept_by = |grouping| {
        let groups = evaluate(&candidates, &policy, grouping, &TimeZone::UTC, at(NOW));
        groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.is_kept()).count()
    };
    assert_eq!(kept_by(none), 2);
    assert_eq!(kept_by(Grouping { across_devices: true, ..none }), 1);
}

/// Counts of every kind, as in a usual policy.
fn usual() -> Policy {
    Policy {
        last: Count::AtMost(2),
        daily: Count::AtMost(5),
        weekly: Count::AtMost(3),
        monthly: Count::AtMost(6),
        within: Some(days(3)),
        ..Policy::default()
    }
}

#[test]
fn snapshots_dated_in_the_future_are_kept_and_count_for_nothing() {
    let genuine = daily(60);
    let before = kept(&genuine, &usual());
    let mut flooded = genuine;
    flooded.extend((0..2000).map(|count| made(100 + count, NOW + 1 + count.cast_signed() * DAY)));
    let after = kept(&flooded, &usual());
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 2000);
    assert_eq!(reasons(&flooded, &usual(), 100), [Reason::Future]);
    let far = vec![made(1, i64::MAX), made(2, i64::MIN), made(3, NOW)];
    assert_eq!(kept(&far, &usual()), [1, 2, 3]);
    assert!(!reasons(&far, &usual(), 3).contains(&Reason::Future), "now is not the future");
}

#[test]
fn back_dated_snapshots_push_no_genuine_one_out() {
    let genuine = daily(60);
    let before = kept(&genuine, &usual());
    let mut flooded = genuine;
    // One a minute before each midnight, newer than the genuine one of the day, and a crowd in one week.
    flooded.extend((1..60).map(|day| made(100 + day, JUNE + 9 * DAY - day.cast_signed() * DAY + DAY - 60)));
    flooded.extend((0..2000).map(|count| made(1000 + count, JUNE + count.cast_signed())));
    let after = kept(&flooded, &usual());
    assert_eq!(after.iter().filter(|sequence| **sequence <= 60).copied().collect::<Vec<_>>(), before);
    let verdicts = &groups(&flooded, &usual())[0].verdicts;
    assert!(verdicts.iter().any(|verdict| verdict.is_protected && verdict.is_kept()));
    let misdated = verdicts.iter().filter(|verdict| verdict.is_misdated).count();
    assert_eq!(misdated, flooded.len() - 60);
    assert!(after.len() < 60, "forged snapshots go as others do: {}", after.len());
}

#[test]
fn snapshots_of_one_moment_are_in_order() {
    let twins = [made(1, JUNE), made(2, JUNE), made(3, JUNE)];
    let groups = groups(&twins, &usual());
    assert!(groups[0].verdicts.iter().all(|verdict| !verdict.is_misdated && !verdict.is_protected));
}

#[test]
fn what_a_stopped_clock_dates_into_the_past_is_not_lost() {
    let mut candidates = daily(30);
    candidates.extend([made(31, 0), made(32, 60), made(33, 30)]);
    let policy = Policy { daily: Count::AtMost(3), ..Policy::default() };
    assert_eq!(kept(&candidates, &policy), [28, 29, 30, 33]);
    assert_eq!(reasons(&candidates, &policy, 33), [Reason::MadeLast]);
}

#[test]
fn snapshots_taken_over_from_elsewhere_in_any_order_are_judged_by_their_times() {
    // Newest first: only the first one is in order.
    let imported: Vec<Candidate> = (0..10).map(|count| made(count + 1, NOW - 1 - count.cast_signed() * DAY)).collect();
    let policy = Policy { daily: Count::AtMost(3), ..Policy::default() };
    assert_eq!(kept(&imported, &policy), [1, 2, 3, 10], "and the one that was made last");
}

#[test]
fn policies_know_whether_they_keep_anything_and_read_as_they_are_typed() {
    let zero = Policy { daily: Count::AtMost(0), within: Some(Span::default()), ..Policy::default() };
    assert!(zero.is_empty() && zero.has_only_tags() && zero.to_string().is_empty());
    let tags = Policy { tags: vec![vec!["a".to_owned(), "b".to_owned()]], ..Policy::default() };
    assert!(!tags.is_empty() && tags.has_only_tags());
    assert_eq!(tags.to_string(), "keep-tag a,b");
    let policy =
        Policy { within_daily: Some(Span { years: 1, months: 5, days: 7, hours: 2 }), yearly: Count::All, ..usual() };
    let text = "keep-last 2, keep-daily 5, keep-weekly 3, keep-monthly 6, keep-yearly unlimited, keep-within 3d, \
                keep-within-daily 1y5m7d2h";
    assert_eq!(policy.to_string(), text);
}
