//! Days and months as the shop's calendar has them.

use ::domain::TimeZone;
use time::{Date, OffsetDateTime, Time};

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// A day.
    Day,
    /// A calendar month; the first and the last may be cut off.
    Month,
}

impl Length {
    /// The first day after the period `day` is in.
    fn next(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => day.next_day(),
            Self::Month => {
                let year = if day.month() == time::Month::December { day.year() + 1 } else { day.year() };
                Date::from_calendar_date(year, day.month().next(), 1).ok()
            }
        }
    }
}

/// The days from `from` up to `to`, cut into periods.
#[derive(Debug)]
pub(crate) struct Periods {
    /// Each period's first day.
    pub(crate) days: Vec<Date>,
    /// The moments at which they begin.
    pub(crate) starts: Vec<OffsetDateTime>,
    /// The moment at which the last one ends.
    pub(crate) end: OffsetDateTime,
}

impl Periods {
    /// Periods in this time zone; `None` at the ends of the calendar.
    pub(crate) fn between(from: Date, to: Date, length: Length, zone: &TimeZone) -> Option<Self> {
        let (mut days, mut day) = (Vec::new(), from);
        while day < to {
            days.push(day);
            day = length.next(day)?;
        }
        let starts = days.iter().map(|day| zone.moment(*day, Time::MIDNIGHT)).collect::<Option<_>>()?;
        Some(Self { days, starts, end: zone.moment(to, Time::MIDNIGHT)? })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::macros::{date, datetime};

    use super::{Length, Periods};

    #[test]
    fn days_are_as_long_as_the_clock_makes_them_and_months_are_cut() {
        let zone = "Europe/Warsaw".parse().unwrap();
        let days =
            Periods::between(date!(2026 - 03 - 28), date!(2026 - 03 - 31), Length::Day, &zone).unwrap();
        assert_eq!(
            days.starts,
            [
                datetime!(2026-03-27 23:00 UTC),
                datetime!(2026-03-28 23:00 UTC),
                datetime!(2026-03-29 22:00 UTC)
            ]
        );
        assert_eq!(days.end, datetime!(2026-03-30 22:00 UTC));
        let months =
            Periods::between(date!(2026 - 11 - 15), date!(2027 - 01 - 02), Length::Month, &zone).unwrap();
        assert_eq!(months.days, [date!(2026 - 11 - 15), date!(2026 - 12 - 01), date!(2027 - 01 - 01)]);
        assert_eq!(months.end, datetime!(2027-01-01 23:00 UTC));
    }
}
