//! Sizes, rates and durations, from text and for people.

use std::time::Duration;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes: plain, or with K, M, G or T for powers of 1024, with `B` or `iB` behind it or not.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a number of bytes such as 1000, 500K, 20M or 1.5G".to_owned();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let power = match unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit) {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(wrong()),
    };
    let factor = 1u64 << (10 * power);
    if let Ok(count) = digits.parse::<u64>() {
        return count.checked_mul(factor).ok_or_else(|| "it is too large".to_owned());
    }
    let count: f64 = digits.parse().map_err(|_| wrong())?;
    #[expect(clippy::cast_precision_loss, reason = "a factor is a power of two")]
    let bytes = count * factor as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    match (0.0..9e18).contains(&bytes) {
        true => Ok(bytes as u64),
        false => Err(wrong()),
    }
}

/// A time span in seconds: a number with `s`, `m`, `h`, `d` or `w`; 0 needs no unit.
pub(crate) fn parse_seconds(text: &str) -> Result<i64, String> {
    let wrong = || "it must be a time span such as 0, 90m, 24h, 7d or 2w".to_owned();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "" if number == 0 => 1,
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|seconds| *seconds >= 0).ok_or_else(wrong)
}

/// Bytes for people, in powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.995 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A count with its noun, which gets an `s` unless there is one.
pub(crate) fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

/// A duration for people.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Bytes a second.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn bytes_per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-6)
}

/// A rate for people, in millions of bytes a second, as disks and networks are sold.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    format!("{:.0} MB/s", bytes_per_second(bytes, time) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_need_a_unit_unless_they_are_none() {
        let of = |text| parse_seconds(text).ok();
        assert_eq!(
            [of("0"), of("90m"), of("24h"), of("7d"), of("2w"), of("5s")],
            [0, 5400, 86_400, 604_800, 1_209_600, 5].map(Some)
        );
        for wrong in ["", "7", "d", "-1d", "1y", "1.5h", "99999999999999999d"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("1K", 1024),
            ("1k", 1024),
            ("20M", 20 << 20),
            ("20MiB", 20 << 20),
            ("20MB", 20 << 20),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1X", "1e999", "99999999999T", "NaN", "1 M x"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 << 10, "10.0 KiB"),
            (100 << 10, "100 KiB"),
            ((1 << 20) - 1, "1.00 MiB"),
            (3 << 29, "1.50 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn counts_and_durations_print() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(2, "file"), "2 files");
        assert_eq!(count(0, "entry"), "0 entries");
        assert_eq!(duration(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(duration(Duration::from_secs(75)), "1 min 15 s");
        assert_eq!(duration(Duration::from_secs(7260)), "2 h 01 min");
        assert_eq!(rate(5_000_000, Duration::from_secs(1)), "5 MB/s");
    }
}
