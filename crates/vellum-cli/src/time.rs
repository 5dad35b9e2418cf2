//! Points in time, from text and for people. The only module that asks the clock and the time zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use vellum::format::snapshot::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    of_jiff(jiff::Timestamp::now())
}

fn of_jiff(time: jiff::Timestamp) -> Timestamp {
    let nanoseconds = time.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).expect("jiff's years are four digits long");
    let nanoseconds = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).expect("a remainder is below its divisor");
    Timestamp { seconds, nanoseconds }
}

fn to_jiff(time: Timestamp) -> Option<jiff::Timestamp> {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    jiff::Timestamp::from_nanosecond(nanoseconds).ok()
}

/// RFC 3339, or a local date with or without a time, which is the first moment of what it names.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_in(text, &TimeZone::system(), false)
}

/// As [`parse_time`], but the last moment of what the text names: `2026-11-21` is the end of that day.
pub(crate) fn parse_time_until(text: &str) -> Result<Timestamp, String> {
    parse_in(text, &TimeZone::system(), true)
}

fn parse_in(text: &str, zone: &TimeZone, until: bool) -> Result<Timestamp, String> {
    let wrong = || "it must be RFC 3339, \"YYYY-MM-DD HH:MM:SS\" or \"YYYY-MM-DD\"".to_owned();
    let local = |time: DateTime| zone.to_timestamp(time).map(of_jiff).map_err(|error| error.to_string());
    let Some((date, rest)) = text.split_at_checked(10) else { return Err(wrong()) };
    let date: Date = date.parse().map_err(|_| wrong())?;
    if rest.is_empty() {
        let time = if until { date.at(23, 59, 59, 999_999_999) } else { date.at(0, 0, 0, 0) };
        return local(time);
    }
    let mut time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => of_jiff(time),
        Err(_) if rest.len() >= 6 && !rest.contains(['+', 'Z', 'z', '[']) => {
            local(text.parse::<DateTime>().map_err(|_| wrong())?)?
        }
        Err(_) => return Err(wrong()),
    };
    if until && time.nanoseconds == 0 {
        let names_seconds = rest.matches(':').count() > 1;
        time.seconds += if names_seconds { 0 } else { 59 };
        time.nanoseconds = 999_999_999;
    }
    Ok(time)
}

/// RFC 3339 in this machine's zone, for programs.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let local = to_jiff(time).map(|time| time.to_zoned(TimeZone::system()));
    match local {
        Some(local) => local.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        None => format!("{}.{:09} seconds since 1970", time.seconds, time.nanoseconds),
    }
}

/// The zone of this name, or this machine's.
pub(crate) fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    name.map_or_else(|| Ok(TimeZone::system()), |name| TimeZone::get(name).map_err(|error| error.to_string()))
}

/// What a zone is called.
pub(crate) fn zone_name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("an unnamed zone")
}

/// Local time with its offset, for people.
pub(crate) fn local(time: Timestamp) -> String {
    in_zone(time, &TimeZone::system())
}

/// Time in a zone with its offset, for people.
pub(crate) fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    let local = to_jiff(time).map(|time| time.to_zoned(zone.clone()));
    match local {
        Some(local) => local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        None => format!("{} s since 1970", time.seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str, until: bool) -> Option<(i64, u32)> {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse_in(text, &zone, until).ok().map(|time| (time.seconds, time.nanoseconds))
    }

    #[test]
    fn times_parse() {
        const DAY: i64 = 1_795_215_600; // 2026-11-21 00:00 at +01:00
        for (text, from, until) in [
            ("2026-11-21", (DAY, 0), (DAY + 86_399, 999_999_999)),
            ("2026-11-21 10:00", (DAY + 36_000, 0), (DAY + 36_059, 999_999_999)),
            ("2026-11-21 10:00:05", (DAY + 36_005, 0), (DAY + 36_005, 999_999_999)),
            ("2026-11-21T10:00:05", (DAY + 36_005, 0), (DAY + 36_005, 999_999_999)),
            ("2026-11-21T09:00:05Z", (DAY + 36_005, 0), (DAY + 36_005, 999_999_999)),
            ("2026-11-21T10:00:05.5+01:00", (DAY + 36_005, 500_000_000), (DAY + 36_005, 500_000_000)),
        ] {
            assert_eq!(seconds(text, false), Some(from), "{text}");
            assert_eq!(seconds(text, true), Some(until), "{text}");
        }
        for text in ["", "latest", "20261121", "2026-13-01", "2026-11-21 25:00", "2026-11-21 10", "2026-11-21:x"] {
            assert_eq!(seconds(text, false), None, "{text}");
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let time = Timestamp { seconds: -2, nanoseconds: 250_000_000 };
        assert_eq!(of_jiff(to_jiff(time).unwrap()), time);
        assert!(rfc3339(Timestamp { seconds: i64::MAX, nanoseconds: 0 }).contains("since 1970"));
    }

    #[test]
    fn rfc3339_parses_back() {
        let time = Timestamp { seconds: 1_800_000_000, nanoseconds: 123_000_000 };
        assert_eq!(parse_time(&rfc3339(time)), Ok(time));
        let whole = Timestamp { seconds: 1_800_000_000, nanoseconds: 0 };
        assert_eq!(parse_time(&rfc3339(whole)), Ok(whole));
    }
}
