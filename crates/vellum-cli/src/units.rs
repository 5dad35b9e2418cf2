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

/// Days and hours: `24h`, `7d`, `1d12h` or `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const SECONDS: [(char, u64); 2] = [('d', 86_400), ('h', 3600)];
    let wrong = || "it must be a time such as 24h, 7d, 1d12h or 0".to_owned();
    let parts = counted_units(text).ok_or_else(wrong)?;
    let mut seconds = 0u64;
    for (count, unit) in parts {
        let (_, of_unit) = SECONDS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
        let more = u64::from(count).checked_mul(*of_unit);
        seconds = more.and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
    }
    Ok(Duration::from_secs(seconds))
}

/// Numbers with a letter behind each, each letter once; none of them for `0`.
pub(crate) fn counted_units(text: &str) -> Option<Vec<(u32, char)>> {
    if text == "0" {
        return Some(Vec::new());
    }
    let mut parts: Vec<(u32, char)> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| !letter.is_ascii_digit()) {
        let unit = rest[at..].chars().next()?;
        let is_new = parts.iter().all(|(_, other)| *other != unit);
        parts.push((rest[..at].parse().ok().filter(|_| is_new)?, unit));
        rest = &rest[at + unit.len_utf8()..];
    }
    (rest.is_empty() && !parts.is_empty()).then_some(parts)
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
    fn durations_parse() {
        for (text, hours) in [("0", 0), ("24h", 24), ("7d", 168), ("1d12h", 36), ("12h1d", 36), ("0d", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_hours(hours)), "{text}");
        }
        for text in ["", "1", "d", "-1d", "1d2", "1m", "1d1d", "1.5h", " 1h", "1é", "99999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
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
