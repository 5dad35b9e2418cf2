//! What holds for any snapshots and rules.

use super::*;
use proptest::prelude::*;

fn policies() -> impl Strategy<Value = Policy> {
    let count =
        || prop_oneof![2 => Just(Count::AtMost(0)), 4 => (1..8u32).prop_map(Count::AtMost), 1 => Just(Count::All)];
    let span = || {
        prop::option::weighted(
            0.2,
            (0..40u32, 0..40u32).prop_map(|(days, hours)| Span { days, hours, ..Span::default() }),
        )
    };
    let counts = (count(), count(), count(), count(), count(), count());
    (counts, span(), span(), prop::bool::weighted(0.2)).prop_map(|(counts, within, within_daily, has_tags)| Policy {
        last: counts.0,
        hourly: counts.1,
        daily: counts.2,
        weekly: counts.3,
        monthly: counts.4,
        yearly: counts.5,
        within,
        within_daily,
        tags: if has_tags { vec![vec!["keep".to_owned()]] } else { vec![] },
        ..Policy::default()
    })
}

/// Snapshots with any times before now and in the order of their numbers.
fn chains() -> impl Strategy<Value = Vec<Candidate>> {
    let times = prop::collection::vec((-400 * DAY..0, prop::bool::weighted(0.1)), 1..60);
    times.prop_map(|times| {
        let numbered = (1u64..).zip(times);
        let made = numbered.map(|(sequence, (seconds, is_tagged))| {
            let tags = if is_tagged { vec!["keep".to_owned()] } else { vec![] };
            Candidate { tags, ..made(sequence, NOW + seconds) }
        });
        made.collect()
    })
}

/// The same as an honest device makes them: later ones have later times.
fn honest_chains() -> impl Strategy<Value = Vec<Candidate>> {
    chains().prop_map(|mut chain| {
        let mut times: Vec<Timestamp> = chain.iter().map(|candidate| candidate.time).collect();
        times.sort_unstable();
        chain.iter_mut().zip(times).for_each(|(candidate, time)| candidate.time = time);
        chain
    })
}

fn with_one_more(count: Count) -> Count {
    match count {
        Count::AtMost(0) | Count::All => count,
        Count::AtMost(count) => Count::AtMost(count + 1),
    }
}

fn is_part_of(part: &[u64], whole: &[u64]) -> bool {
    part.iter().all(|sequence| whole.contains(sequence))
}

proptest! {
    #[test]
    fn a_larger_count_keeps_no_less(chain in chains(), policy in policies()) {
        let before = kept(&chain, &policy);
        let larger = Policy {
            last: with_one_more(policy.last),
            hourly: with_one_more(policy.hourly),
            daily: with_one_more(policy.daily),
            weekly: with_one_more(policy.weekly),
            monthly: with_one_more(policy.monthly),
            yearly: with_one_more(policy.yearly),
            within: policy.within.map(|span| Span { days: span.days + 1, ..span }),
            ..policy
        };
        prop_assert!(is_part_of(&before, &kept(&chain, &larger)));
    }

    #[test]
    fn the_newest_and_the_last_made_are_kept_by_any_rule(chain in chains(), policy in policies()) {
        prop_assume!(!policy.has_only_tags());
        let kept = kept(&chain, &policy);
        let newest = chain.iter().max_by_key(|candidate| candidate.by_time()).unwrap();
        prop_assert!(kept.contains(&newest.sequence) && kept.contains(&(chain.len() as u64)));
    }

    #[test]
    fn rules_only_add(chain in chains(), one in policies(), other in policies()) {
        let both = Policy { daily: one.daily, hourly: one.hourly, ..Policy::default() };
        let more = Policy { weekly: other.weekly, within: other.within, tags: other.tags, ..both.clone() };
        prop_assert!(is_part_of(&kept(&chain, &both), &kept(&chain, &more)));
    }

    #[test]
    fn future_dates_remove_nothing(
        chain in chains(),
        policy in policies(),
        future in prop::collection::vec((any::<u64>(), 1..i64::MAX - NOW), 0..60),
    ) {
        let before = kept(&chain, &policy);
        let mut flooded = chain;
        flooded.extend(future.into_iter().map(|(sequence, ahead)| made(sequence.max(1000), NOW + ahead)));
        let after = kept(&flooded, &policy);
        prop_assert!(is_part_of(&before, &after));
        prop_assert!(flooded.iter().all(|candidate| candidate.time <= at(NOW) || after.contains(&candidate.sequence)));
    }

    #[test]
    fn back_dates_remove_nothing_that_an_honest_device_made(
        chain in honest_chains(),
        policy in policies(),
        back in prop::collection::vec(1..800 * DAY, 0..60),
    ) {
        let before = kept(&chain, &policy);
        let newest = chain.last().unwrap().time.seconds;
        let mut flooded = chain;
        flooded.extend((1000u64..).zip(back).map(|(sequence, back)| made(sequence, newest - back)));
        prop_assert!(is_part_of(&before, &kept(&flooded, &policy)));
    }

    #[test]
    fn a_wrong_clock_of_who_forgets_removes_nothing_more(
        chain in honest_chains(),
        policy in policies(),
        ahead in 0..i64::MAX - NOW,
        behind in 0..i64::MAX,
    ) {
        let kept_at = |now: i64| {
            let groups = evaluate(&chain, &policy, Grouping::default(), &TimeZone::UTC, at(now));
            let verdicts = groups.into_iter().flat_map(|group| group.verdicts).filter(Verdict::is_kept);
            verdicts.map(|verdict| verdict.snapshot).collect::<BTreeSet<_>>()
        };
        let right = kept_at(NOW);
        prop_assert_eq!(&kept_at(NOW + ahead), &right);
        prop_assert!(kept_at(NOW - behind).is_superset(&right));
    }

    #[test]
    fn other_devices_change_nothing(
        chain in chains(),
        policy in policies(),
        foreign in prop::collection::vec((any::<u64>(), any::<i64>()), 0..60),
    ) {
        let own = &groups(&chain, &policy)[0];
        let device = DeviceId::from_bytes([7; 16]);
        let foreign = foreign.into_iter().map(|(sequence, time)| {
            let id = ObjectId::of(&[&sequence.to_le_bytes()[..], b"foreign"].concat());
            Candidate { id, device, ..made(sequence, time) }
        });
        let flooded: Vec<Candidate> = chain.iter().cloned().chain(foreign).collect();
        prop_assert!(groups(&flooded, &policy).contains(own));
    }

    #[test]
    fn the_order_of_what_comes_in_does_not_matter(
        (chain, shuffled) in chains().prop_flat_map(|chain| (Just(chain.clone()), Just(chain).prop_shuffle())),
        policy in policies(),
    ) {
        prop_assert_eq!(groups(&chain, &policy), groups(&shuffled, &policy));
    }

    #[test]
    fn any_times_and_spans_end_in_a_verdict(
        times in prop::collection::vec((any::<i64>(), 0..1_000_000_000u32), 1..20),
        span in (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()),
        now in any::<i64>(),
    ) {
        let candidates: Vec<Candidate> = (1u64..)
            .zip(times)
            .map(|(sequence, (seconds, nanoseconds))| Candidate {
                time: Timestamp { seconds, nanoseconds },
                ..made(sequence, 0)
            })
            .collect();
        let (years, months, days, hours) = span;
        let span = Some(Span { years, months, days, hours });
        let policy = Policy { within: span, within_hourly: span, hourly: Count::AtMost(3), weekly: Count::All, ..usual() };
        let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        let groups = evaluate(&candidates, &policy, Grouping::default(), &zone, at(now));
        prop_assert_eq!(groups.iter().map(|group| group.verdicts.len()).sum::<usize>(), candidates.len());
    }
}
