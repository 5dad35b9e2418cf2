//! Periods and spans of the calendar, in a given zone.

use jiff::tz::TimeZone;
use std::fmt;
use vellum_format::snapshot::Timestamp;

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// An hour, told by when it began: the two hours of one name, when clocks go back, are two.
    Hour,
    /// A day.
    Day,
    /// A week of ISO 8601, which begins on Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// `hourly` and so on, as rules are called.
    #[must_use]
    pub const fn adverb(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The same for all times of one period, and larger for a later one.
    pub(super) fn label(self, time: Timestamp, zone: &TimeZone) -> i64 {
        let time = instant(time);
        let local = zone.to_datetime(time);
        let (year, month, day) = (i64::from(local.year()), i64::from(local.month()), i64::from(local.day()));
        match self {
            Self::Hour => timestamp(time).seconds - i64::from(local.minute()) * 60 - i64::from(local.second()),
            Self::Day => (year * 100 + month) * 100 + day,
            Self::Week => {
                let week = local.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Self::Month => year * 100 + month,
            Self::Year => year,
        }
    }
}

/// A length of time on the calendar: a year is as long as the one it is counted back over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Span {
    /// Whether it has no length.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The time that lies this long before another, by the clocks of the zone; the beginning of time when that is
    /// further back than calendars go.
    pub(super) fn before(self, time: Timestamp, zone: &TimeZone) -> Timestamp {
        const BEGINNING: Timestamp = Timestamp { seconds: i64::MIN, nanoseconds: 0 };
        let days = jiff::Span::new().try_years(self.years);
        let days = days.and_then(|span| span.try_months(self.months)).and_then(|span| span.try_days(self.days));
        let hours = jiff::Span::new().try_hours(self.hours);
        let back = days.and_then(|days| instant(time).to_zoned(zone.clone()).checked_sub(days));
        let back = hours.and_then(|hours| back?.checked_sub(hours));
        back.map_or(BEGINNING, |back| timestamp(back.timestamp()))
    }
}

/// `1y5m7d2h`; what is zero is left out.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

const NANOSECONDS: i128 = 1_000_000_000;

/// The nearest time that calendars reach, which is in the years -9999 to 9999.
fn instant(time: Timestamp) -> jiff::Timestamp {
    let nanoseconds = i128::from(time.seconds) * NANOSECONDS + i128::from(time.nanoseconds);
    let beyond = if time.seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or(beyond)
}

fn timestamp(instant: jiff::Timestamp) -> Timestamp {
    let nanoseconds = instant.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(NANOSECONDS)).expect("years have four digits");
    let nanoseconds = u32::try_from(nanoseconds.rem_euclid(NANOSECONDS)).expect("it is below its divisor");
    Timestamp { seconds, nanoseconds }
}
