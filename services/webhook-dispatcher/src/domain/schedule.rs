//! When a delivery is tried.

use std::time::Duration;

use domain::backoff;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The wait before each attempt, in seconds: the first goes out at once.
const WAITS: [u64; 10] =
    [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// Waits are spread, so that what failed together does not return together.
const JITTER: f64 = 0.2;

/// How long throttled tries use no attempt: slightly longer than the default schedule.
const THROTTLED_FOR: time::Duration = time::Duration::hours(76);

/// True when a delivery throttled at this age is tried again; the age counts from the start of its current run.
pub(crate) fn outlasts_throttling(age: time::Duration) -> bool {
    age < THROTTLED_FOR
}

/// When a subscription's deliveries are tried again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    /// The first so many retries; all of them when absent.
    pub(crate) retry_count: Option<usize>,
    /// Seconds before each retry, in place of the usual ones.
    pub(crate) waits: Option<Vec<u64>>,
}

impl Schedule {
    /// How long to wait after `attempts` failed attempts of one run; none when they are used up. `unit` is a random
    /// number in `0.0..1.0`.
    pub(crate) fn next_wait(&self, attempts: usize, unit: f64) -> Option<Duration> {
        let retry = attempts.checked_sub(1)?;
        let [_at_once, usual @ ..] = &WAITS;
        let waits = self.waits.as_deref().unwrap_or(usual);
        let is_allowed = self.retry_count.is_none_or(|count| retry < count);
        let wait = waits.get(retry).filter(|_| is_allowed)?;
        Some(backoff::jitter(Duration::from_secs(*wait), JITTER, unit))
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::{Schedule, WAITS, outlasts_throttling};

    #[test]
    fn a_throttled_delivery_is_tried_for_76_hours() {
        let limit = Duration::hours(76);
        assert!(outlasts_throttling(limit - Duration::MILLISECOND) && !outlasts_throttling(limit));
    }

    fn waits_of(schedule: &Schedule) -> Vec<u64> {
        (1..).map_while(|attempts| schedule.next_wait(attempts, 0.5)).map(|wait| wait.as_secs()).collect()
    }

    fn waits(retry_count: Option<usize>) -> Vec<u64> {
        waits_of(&Schedule { retry_count, waits: None })
    }

    #[test]
    fn a_list_of_its_own_takes_the_place_of_the_usual_one() {
        let own = |retry_count| waits_of(&Schedule { retry_count, waits: Some(vec![1, 60, 3600]) });
        assert_eq!((own(None), own(Some(2))), (vec![1, 60, 3600], vec![1, 60]));
    }

    #[test]
    fn attempts_follow_the_list_to_its_end_or_to_the_count() {
        assert_eq!(waits(None), [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert!(waits(Some(0)).is_empty());
        assert_eq!(waits(Some(2)), [5, 300]);
        assert_eq!(waits(Some(100)).len(), WAITS.len() - 1);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let wait = |unit| Schedule::default().next_wait(1, unit).map(|wait| wait.as_millis());
        assert_eq!((wait(0.0), wait(1.0)), (Some(4000), Some(6000)));
    }
}
