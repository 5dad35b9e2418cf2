//! The calendar against a second one, which shares no code with it: three years of hourly snapshots in thirty zones.

use super::*;

/// When clocks change: month, week of the month (5 is the last), weekday (0 is Sunday), minute of the day by the clock
/// that goes until then.
type Change = (i64, i64, i64, i64);

/// A zone: its rule as POSIX writes it, minutes east of Greenwich in winter and in summer, start and end of summer.
type Zone = (&'static str, i64, i64, Option<(Change, Change)>);

const EUROPE: Option<(Change, Change)> = Some(((3, 5, 0, 120), (10, 5, 0, 180)));
const AMERICA: Option<(Change, Change)> = Some(((3, 2, 0, 120), (11, 1, 0, 120)));
const AUSTRALIA: Option<(Change, Change)> = Some(((10, 1, 0, 120), (4, 1, 0, 180)));

const ZONES: [Zone; 30] = [
    ("UTC0", 0, 0, None),
    ("GMT0BST,M3.5.0/1,M10.5.0", 0, 60, Some(((3, 5, 0, 60), (10, 5, 0, 120)))),
    ("CET-1CEST,M3.5.0,M10.5.0/3", 60, 120, EUROPE),
    ("EET-2EEST,M3.5.0/3,M10.5.0/4", 120, 180, Some(((3, 5, 0, 180), (10, 5, 0, 240)))),
    ("EET-2EEST,M3.5.0/0,M10.5.0/0", 120, 180, Some(((3, 5, 0, 0), (10, 5, 0, 0)))),
    ("EET-2EEST,M4.5.5/0,M10.5.4/24", 120, 180, Some(((4, 5, 5, 0), (10, 5, 4, 1440)))),
    ("IST-2IDT,M3.4.4/26,M10.5.0", 120, 180, Some(((3, 4, 4, 1560), (10, 5, 0, 120)))),
    ("MSK-3", 180, 180, None),
    ("<+0330>-3:30", 210, 210, None),
    ("<+0430>-4:30", 270, 270, None),
    ("IST-5:30", 330, 330, None),
    ("<+0545>-5:45", 345, 345, None),
    ("<+0630>-6:30", 390, 390, None),
    ("CST-8", 480, 480, None),
    ("<+0845>-8:45", 525, 525, None),
    ("JST-9", 540, 540, None),
    ("ACST-9:30ACDT,M10.1.0,M4.1.0/3", 570, 630, AUSTRALIA),
    ("AEST-10AEDT,M10.1.0,M4.1.0/3", 600, 660, AUSTRALIA),
    ("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 630, 660, Some(((10, 1, 0, 120), (4, 1, 0, 120)))),
    ("NZST-12NZDT,M9.5.0,M4.1.0/3", 720, 780, Some(((9, 5, 0, 120), (4, 1, 0, 180)))),
    ("<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45", 765, 825, Some(((9, 5, 0, 165), (4, 1, 0, 225)))),
    ("<+14>-14", 840, 840, None),
    ("SST11", -660, -660, None),
    ("HST10", -600, -600, None),
    ("PST8PDT,M3.2.0,M11.1.0", -480, -420, AMERICA),
    ("EST5EDT,M3.2.0,M11.1.0", -300, -240, AMERICA),
    ("CST5CDT,M3.2.0/0,M11.1.0/1", -300, -240, Some(((3, 2, 0, 0), (11, 1, 0, 60)))),
    ("<-04>4<-03>,M10.1.0/0,M3.4.0/0", -240, -180, Some(((10, 1, 0, 0), (3, 4, 0, 0)))),
    // Until 2011 Newfoundland turned its clocks back from 0:01 to 23:01, so that the day before came again.
    ("NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01", -210, -150, Some(((3, 2, 0, 1), (11, 1, 0, 1)))),
    ("<-01>1<+00>,M3.5.0/0,M10.5.0/1", -60, 0, Some(((3, 5, 0, 0), (10, 5, 0, 60)))),
];

/// Days from 1970-01-01 to a date, counting whole cycles of 400 years from March.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The date so many days after 1970-01-01, found by looking.
fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_to(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_to(year, *month, 1) <= days).unwrap();
    (year, month, days - days_to(year, month, 1) + 1)
}

/// The instant, in minutes since 1970, at which clocks change in a year.
fn change_in(year: i64, (month, week, weekday, minute): Change, offset: i64) -> i64 {
    let first = days_to(year, month, 1);
    // 1970-01-01 was a Thursday.
    let mut day = first + (weekday - (first + 4)).rem_euclid(7) + (week - 1) * 7;
    let next_month = if month == 12 { days_to(year + 1, 1, 1) } else { days_to(year, month + 1, 1) };
    while day >= next_month {
        day -= 7;
    }
    day * 1440 + minute - offset
}

fn offset_at(minutes: i64, (_, winter, summer, changes): &Zone) -> i64 {
    let Some((start, end)) = changes else { return *winter };
    let (year, _, _) = date_of((minutes + winter).div_euclid(1440));
    let (start, end) = (change_in(year, *start, *winter), change_in(year, *end, *summer));
    let is_summer = match start < end {
        true => (start..end).contains(&minutes),
        false => !(end..start).contains(&minutes),
    };
    if is_summer { *summer } else { *winter }
}

/// What tells a period from others of its kind: the minute in which an hour began, the numbers of any other.
fn name(period: Period, minutes: i64, zone: &Zone) -> (i64, i64, i64) {
    let offset = offset_at(minutes, zone);
    let local = minutes + offset;
    let days = local.div_euclid(1440);
    let (year, month, day) = date_of(days);
    match period {
        Period::Hour => (local.div_euclid(60) * 60 - offset, 0, 0),
        Period::Day => (year, month, day),
        Period::Month => (year, month, 0),
        Period::Year => (year, 0, 0),
        Period::Week => {
            // A week belongs to the year of its Thursday.
            let thursday = days - (days + 3).rem_euclid(7) + 3;
            let (year, _, _) = date_of(thursday);
            (year, (thursday - days_to(year, 1, 1)) / 7, 0)
        }
    }
}

/// Which of these snapshots, oldest first, a rule keeps: the last of each period, the newest so many, and the oldest
/// of all while there is room.
fn kept_by(period: Period, of: Count, minutes: &[i64], zone: &Zone) -> BTreeSet<usize> {
    let mut last_of_each = BTreeMap::new();
    for (place, minutes) in minutes.iter().enumerate() {
        last_of_each.insert(name(period, *minutes, zone), place);
    }
    let mut newest_first: Vec<usize> = last_of_each.into_values().collect();
    newest_first.sort_unstable_by(|one, other| other.cmp(one));
    newest_first.push(0);
    let count = match of {
        Count::AtMost(count) => count as usize,
        Count::All => usize::MAX,
    };
    newest_first.into_iter().take(count).collect()
}

/// One in each hour from Christmas 2023 to the first week of 2027, at a minute that wanders: two leap days apart, a
/// year of 53 weeks, and the changes of clocks of each zone.
fn hourly_minutes() -> Vec<i64> {
    let (start, end) = (days_to(2023, 12, 25) * 24, days_to(2027, 1, 5) * 24);
    let mut wander = 7;
    let minute = |hour: i64| {
        wander = wander * 69_069 % 4_294_967_291 + 1;
        hour * 60 + wander % 60
    };
    (start..end).map(minute).collect()
}

#[test]
fn rules_agree_with_a_second_calendar_in_thirty_zones() {
    let minutes = hourly_minutes();
    let candidates: Vec<Candidate> =
        minutes.iter().zip(1u64..).map(|(minutes, sequence)| made(sequence, minutes * 60)).collect();
    let now = at(i64::MAX);
    let rules = [
        (Period::Hour, Count::AtMost(20_000)),
        (Period::Day, Count::AtMost(1000)),
        (Period::Week, Count::All),
        (Period::Month, Count::AtMost(30)),
        (Period::Year, Count::AtMost(9)),
    ];
    let policy = Policy {
        hourly: rules[0].1,
        daily: rules[1].1,
        weekly: rules[2].1,
        monthly: rules[3].1,
        yearly: rules[4].1,
        ..Policy::default()
    };
    for zone in ZONES {
        let place = TimeZone::posix(zone.0).unwrap();
        let groups = evaluate(&candidates, &policy, Grouping::default(), &place, now);
        let verdicts = &groups[0].verdicts;
        for (rule, of) in rules {
            let has_reason =
                |reason: &Reason| matches!(reason, Reason::Counted { period, .. } if *period == Some(rule));
            let kept = (0..).zip(verdicts).filter(|(_, verdict)| verdict.reasons.iter().any(has_reason));
            let kept: BTreeSet<usize> = kept.map(|(place, _)| place).collect();
            let expected = kept_by(rule, of, &minutes, &zone);
            let first = kept.symmetric_difference(&expected).next();
            assert_eq!(first, None, "{} in {}, {} and {}", rule.adverb(), zone.0, kept.len(), expected.len());
        }
    }
}

#[test]
fn the_second_calendar_knows_some_dates() {
    assert_eq!((days_to(1970, 1, 1), days_to(2000, 3, 1), date_of(0)), (0, 11_017, (1970, 1, 1)));
    assert_eq!((date_of(11_016), date_of(-1)), ((2000, 2, 29), (1969, 12, 31)));
    let berlin = ZONES[2];
    let summer = days_to(2026, 3, 29) * 1440 + 60;
    assert_eq!((offset_at(summer - 1, &berlin), offset_at(summer, &berlin)), (60, 120));
    let winter = days_to(2026, 10, 25) * 1440 + 60;
    assert_eq!((offset_at(winter - 1, &berlin), offset_at(winter, &berlin)), (120, 60));
    assert_eq!(name(Period::Week, days_to(2027, 1, 3) * 1440, &ZONES[0]), (2026, 52, 0));
    assert_eq!(name(Period::Week, days_to(2024, 12, 30) * 1440, &ZONES[0]), (2025, 0, 0));
}

#[test]
fn days_that_come_twice_count_once_and_hours_that_come_twice_are_two() {
    let newfoundland = TimeZone::posix(ZONES[28].0).unwrap();
    // 2026-11-01 0:00:30 in summer, then 23:30 of the day before in winter, then 0:30.
    let changed = change_in(2026, (11, 1, 0, 1), -150) * 60;
    let candidates =
        [made(1, changed - 9 * DAY), made(2, changed - 30), made(3, changed + 29 * 60), made(4, changed + 89 * 60)];
    let policy = Policy { daily: Count::AtMost(3), ..Policy::default() };
    let kept = |candidates: &[Candidate], policy: &Policy, zone: &TimeZone| {
        let groups = evaluate(candidates, policy, Grouping::default(), zone, at(i64::MAX));
        groups[0].verdicts.iter().map(Verdict::is_kept).collect::<Vec<_>>()
    };
    assert_eq!(kept(&candidates, &policy, &newfoundland), [true, false, true, true]);
    let berlin = TimeZone::posix(ZONES[2].0).unwrap();
    let changed = change_in(2026, (10, 5, 0, 180), 120) * 60;
    let candidates = [made(1, changed - 60), made(2, changed + 60), made(3, changed + 120)];
    let policy = Policy { hourly: Count::AtMost(2), ..Policy::default() };
    assert_eq!(kept(&candidates, &policy, &berlin), [true, false, true]);
}

#[test]
fn spans_go_back_by_the_clock_of_the_zone() {
    let berlin = TimeZone::posix(ZONES[2].0).unwrap();
    // 2026-03-29 12:00 in summer time, the day when clocks went forward.
    let noon = at((days_to(2026, 3, 29) * 1440 + 10 * 60) * 60);
    let back = |span: Span| (noon.seconds - span.before(noon, &berlin).seconds) / 3600;
    assert_eq!(back(days(1)), 23, "noon of the day before");
    assert_eq!(back(Span { hours: 24, ..Span::default() }), 24);
    assert_eq!(back(Span { months: 1, ..Span::default() }), 29 * 24 - 1, "the 29th becomes the last of February");
    assert_eq!(back(Span { years: 1, ..Span::default() }), 365 * 24 - 1, "summer time began a day later in 2025");
    let precise = Timestamp { nanoseconds: 5, ..noon };
    assert_eq!(days(1).before(precise, &berlin).nanoseconds, 5);
}
