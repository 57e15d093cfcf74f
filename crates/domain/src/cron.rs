//! Cron expressions in a time zone.
//!
//! The engine is croner, the zones are jiff's, compiled in. Neither is visible outside this file. Daylight saving
//! follows Vixie cron: a fixed time inside a gap fires at the first moment after it, a fixed time that occurs twice
//! fires the first time only, and an expression with `*` in its minutes or hours follows the local clock.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use time::OffsetDateTime;

/// Maximum number of zone changes that are tried to get past a day that a zone skipped as a whole.
const SKIPPED_DAYS: usize = 8;

/// A cron expression of five fields, or six with seconds first, and its time zone.
#[derive(Clone)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

/// The reason why a cron expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not a cron expression.
    #[error("{0}")]
    Expression(String),
    /// It matches only days that no calendar has, such as 30 February.
    #[error("no moment ever matches it")]
    Never,
    /// The zone is unknown.
    #[error("{0:?} is no time zone; write it as Europe/Warsaw or UTC")]
    TimeZone(String),
}

impl Cron {
    /// Parses an expression and the IANA name of a zone.
    ///
    /// # Errors
    /// The error of the expression or of the zone.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, CronError> {
        let zone = TimeZone::get(time_zone).map_err(|_unknown| CronError::TimeZone(time_zone.to_owned()))?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(expression).map_err(|error| CronError::Expression(error.to_string()))?;
        let some_day = date(2024, 1, 1).at(0, 0, 0, 0);
        pattern.find_next_occurrence(&some_day, true).map_err(|_never| CronError::Never)?;
        Ok(Self { pattern, zone })
    }

    /// The first matching time after `moment`, in UTC. `None` after the last year of the calendar.
    pub fn next_after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let start = Timestamp::from_nanosecond(moment.unix_timestamp_nanos()).ok()?;
        let found = self.find(start, false).or_else(|| {
            // The engine fails where it would fire on a day that the zone skipped as a whole (Samoa, 30 December 2011).
            let changes = self.zone.following(start).take(SKIPPED_DAYS);
            changes.into_iter().find_map(|change| self.find(change.timestamp(), true))
        })?;
        OffsetDateTime::from_unix_timestamp_nanos(found.timestamp().as_nanosecond()).ok()
    }

    fn find(&self, from: Timestamp, inclusive: bool) -> Option<Zoned> {
        self.pattern.find_next_occurrence(&from.to_zoned(self.zone.clone()), inclusive).ok()
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({} in {})", self.pattern.as_str(), self.zone.iana_name().unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::{Cron, CronError};

    fn fires(expression: &str, zone: &str, after: &str, times: usize) -> Vec<String> {
        let cron = Cron::parse(expression, zone).unwrap();
        let mut moment = OffsetDateTime::parse(after, &Rfc3339).unwrap();
        (0..times)
            .map(|_| {
                moment = cron.next_after(moment).unwrap();
                moment.format(&Rfc3339).unwrap()
            })
            .collect()
    }

    #[test]
    fn times_are_local_across_daylight_saving() {
        // Warsaw skips 02:00–03:00 on 29 March 2026 and has 02:00–03:00 twice on 25 October.
        assert_eq!(
            fires("0 8 * * *", "Europe/Warsaw", "2026-03-28T00:00:00Z", 2),
            ["2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"]
        );
        assert_eq!(
            fires("30 2 * * *", "Europe/Warsaw", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            fires("30 2 * * *", "Europe/Warsaw", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            fires("*/30 2 * * *", "Europe/Warsaw", "2026-10-24T12:00:00Z", 4),
            ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
        );
    }

    #[test]
    fn a_day_skipped_by_a_zone_does_not_end_the_schedule() {
        assert_eq!(
            fires("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 2),
            ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]
        );
    }

    #[test]
    fn seconds_come_first_and_sunday_is_0_or_7() {
        assert_eq!(
            fires("*/20 * * * * *", "UTC", "2026-01-01T00:00:10Z", 2),
            ["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z"]
        );
        let sundays = fires("0 0 * * 0", "UTC", "2026-01-01T00:00:00Z", 2);
        assert_eq!(sundays, fires("0 0 * * 7", "UTC", "2026-01-01T00:00:00Z", 2));
        assert_eq!(sundays, ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]);
    }

    #[test]
    fn an_invalid_expression_is_rejected_with_its_reason() {
        assert!(matches!(Cron::parse("61 * * * *", "UTC"), Err(CronError::Expression(_))));
        assert!(matches!(Cron::parse("", "UTC"), Err(CronError::Expression(_))));
        assert!(matches!(Cron::parse("0 0 0 1 1 * 2030", "UTC"), Err(CronError::Expression(_))));
        assert_eq!(Cron::parse("0 0 30 2 *", "UTC").unwrap_err(), CronError::Never);
        assert!(matches!(Cron::parse("* * * * *", "Europe/Warszawa"), Err(CronError::TimeZone(_))));
    }
}
