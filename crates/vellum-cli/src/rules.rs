//! Retention rules from text.

use crate::args::KeepArgs;
use vellum::retention::{Count, Grouping, Policy, Span};

/// A number, or `unlimited`, which is `-1` too.
pub(crate) fn parse_count(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" | "-1" => Ok(Count::All),
        number => match number.parse() {
            Ok(count) => Ok(Count::AtMost(count)),
            Err(_) => Err("it must be a number from 0, or `unlimited`".to_owned()),
        },
    }
}

/// Years, months, days and hours, each at most once: `30d`, `1y5m7d2h` or `0`.
pub(crate) fn parse_span(text: &str) -> Result<Span, String> {
    let wrong = || "it must be years, months, days and hours, such as 30d or 1y5m7d2h".to_owned();
    let [mut years, mut months, mut days, mut hours] = [None; 4];
    let mut rest = if text == "0" { "0d" } else { text };
    while !rest.is_empty() {
        let (number, unit) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?);
        let part = match unit.as_bytes()[0] {
            b'y' => &mut years,
            b'm' => &mut months,
            b'd' => &mut days,
            b'h' => &mut hours,
            _ => return Err(wrong()),
        };
        if part.replace(number.parse().map_err(|_| wrong())?).is_some() {
            return Err(wrong());
        }
        rest = &unit[1..];
    }
    let [years, months, days, hours] = [years, months, days, hours].map(Option::unwrap_or_default);
    if text.is_empty() { Err(wrong()) } else { Ok(Span { years, months, days, hours }) }
}

/// Labels with commas between. An empty text is one empty label, which stands for having none.
fn tags(text: &str) -> Vec<String> {
    let tags: Vec<String> = text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if tags.is_empty() { vec![String::new()] } else { tags }
}

/// `host`, `paths` and `tags` with commas between; nothing groups by nothing.
pub(crate) fn parse_grouping(text: &str) -> Result<Grouping, String> {
    let mut grouping = Grouping { host: false, paths: false, tags: false, across_devices: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part {
            "host" | "hosts" => grouping.host = true,
            "path" | "paths" => grouping.paths = true,
            "tag" | "tags" => grouping.tags = true,
            _ => return Err("it must be `host`, `paths` and `tags`, with commas between".to_owned()),
        }
    }
    Ok(grouping)
}

/// Whether any rule was given, a rule that keeps nothing among them.
pub(crate) fn are_given(args: &KeepArgs) -> bool {
    let counts =
        [args.keep_last, args.keep_hourly, args.keep_daily, args.keep_weekly, args.keep_monthly, args.keep_yearly];
    let spans = [
        args.keep_within,
        args.keep_within_hourly,
        args.keep_within_daily,
        args.keep_within_weekly,
        args.keep_within_monthly,
        args.keep_within_yearly,
    ];
    counts.iter().any(Option::is_some) || spans.iter().any(Option::is_some) || !args.keep_tag.is_empty()
}

/// The rules that flags describe.
pub(crate) fn policy(args: &KeepArgs) -> Policy {
    let mut policy = Policy::default();
    policy.last = args.keep_last.unwrap_or_default();
    policy.hourly = args.keep_hourly.unwrap_or_default();
    policy.daily = args.keep_daily.unwrap_or_default();
    policy.weekly = args.keep_weekly.unwrap_or_default();
    policy.monthly = args.keep_monthly.unwrap_or_default();
    policy.yearly = args.keep_yearly.unwrap_or_default();
    policy.within = args.keep_within;
    policy.within_hourly = args.keep_within_hourly;
    policy.within_daily = args.keep_within_daily;
    policy.within_weekly = args.keep_within_weekly;
    policy.within_monthly = args.keep_within_monthly;
    policy.within_yearly = args.keep_within_yearly;
    policy.tags = args.keep_tag.iter().map(|text| tags(text)).collect();
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_parse() {
        for (text, count) in
            [("0", Count::AtMost(0)), ("7", Count::AtMost(7)), ("-1", Count::All), ("unlimited", Count::All)]
        {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "-2", "1.5", "all", "99999999999"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_parse_and_print_alike() {
        for text in ["1y5m7d2h", "30d", "24h", "2m", "0"] {
            assert_eq!(parse_span(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_span("2h7d"), Ok(Span { days: 7, hours: 2, ..Span::default() }));
        for text in ["", "30", "d", "-3d", "3w", "3D", "1d1d", "1d2", "1é", " 1d", "5000000000d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_and_groups_parse() {
        assert_eq!(
            (tags("a,b"), tags("a,"), tags("")),
            (vec!["a".into(), "b".into()], vec!["a".into()], vec![String::new()])
        );
        assert_eq!(parse_grouping("host,paths"), Ok(Grouping::default()));
        let by_tags = Grouping { host: false, paths: false, tags: true, across_devices: false };
        assert_eq!(parse_grouping("tags"), Ok(by_tags));
        assert_eq!(parse_grouping("").map(|grouping| grouping.host || grouping.paths || grouping.tags), Ok(false));
        assert!(parse_grouping("user").is_err());
    }
}
