//! The times at which a schedule runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use domain::{Cron, CronError};
use time::OffsetDateTime;

/// The times at which a schedule runs.
#[derive(Debug, Clone)]
pub struct Timing(pub(crate) When);

#[derive(Debug, Clone)]
pub(crate) enum When {
    Cron { cron: Box<Cron>, expression: String, time_zone: String },
    Every(Duration),
}

impl Timing {
    /// By a cron expression, in an IANA time zone.
    ///
    /// # Errors
    /// The error of the expression or of the zone.
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self, CronError> {
        let cron = Box::new(Cron::parse(expression, time_zone)?);
        Ok(Self(When::Cron { cron, expression: expression.to_owned(), time_zone: time_zone.to_owned() }))
    }

    /// By an interval of at least a second.
    pub fn every(interval: Duration) -> Self {
        Self(When::Every(interval.max(Duration::from_secs(1))))
    }

    /// The first time after `now`, given the planned time `last` of the previous run. Missed runs are not made up one
    /// by one.
    pub(crate) fn after(&self, last: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match &self.0 {
            When::Cron { cron, .. } => cron.next_after(now),
            When::Every(every) => {
                let late = (now - last).max(time::Duration::ZERO).as_seconds_f64();
                let steps = (late / every.as_secs_f64()).floor() + 1.0;
                last.checked_add(time::Duration::seconds_f64(steps * every.as_secs_f64()))
            }
        }
    }

    /// The time of the first run. Intervals begin at different phases, so that many schedules do not run at once.
    pub(crate) fn beginning(&self, name: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match &self.0 {
            When::Cron { cron, .. } => cron.next_after(now),
            When::Every(every) => {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                let [phase, ..] = hasher.finish().to_be_bytes();
                Some(now + every.mul_f64(f64::from(phase) / 256.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::Timing;

    #[test]
    fn an_interval_keeps_its_phase_and_skips_missed_runs() {
        let timing = Timing::every(Duration::from_mins(3));
        let last = datetime!(2026-01-01 12:00 UTC);
        assert_eq!(timing.after(last, last), Some(datetime!(2026-01-01 12:03 UTC)));
        assert_eq!(
            timing.after(last, datetime!(2026-01-01 12:10 UTC)),
            Some(datetime!(2026-01-01 12:12 UTC))
        );
        // If the clock was set back: never before the planned time.
        assert_eq!(
            timing.after(last, datetime!(2026-01-01 11:00 UTC)),
            Some(datetime!(2026-01-01 12:03 UTC))
        );
    }

    #[test]
    fn intervals_begin_at_different_phases() {
        let timing = Timing::every(Duration::from_mins(3));
        let now = datetime!(2026-01-01 12:00 UTC);
        let firsts: std::collections::BTreeSet<_> =
            (0..50).filter_map(|number| timing.beginning(&format!("sync:{number}"), now)).collect();
        assert!(firsts.len() > 30, "{firsts:?}");
        assert!(firsts.iter().all(|it| *it >= now && *it < now + Duration::from_mins(3)));
    }
}
