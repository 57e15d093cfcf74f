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

/// How long to wait after `attempts` failed attempts; none when they are used up. `retry_count` takes the first so
/// many retries of the schedule; `unit` is a random number in `0.0..1.0`.
pub(crate) fn next_wait(attempts: usize, retry_count: Option<usize>, unit: f64) -> Option<Duration> {
    let allowed = retry_count.map_or(WAITS.len(), |count| WAITS.len().min(count.saturating_add(1)));
    let wait = WAITS.get(attempts).filter(|_| attempts < allowed)?;
    Some(backoff::jitter(Duration::from_secs(*wait), JITTER, unit))
}

#[cfg(test)]
mod tests {
    use super::{WAITS, next_wait};

    fn waits(retry_count: Option<usize>) -> Vec<u64> {
        (1..).map_while(|attempts| next_wait(attempts, retry_count, 0.5)).map(|wait| wait.as_secs()).collect()
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
        let (low, high) = (next_wait(1, None, 0.0).map(|it| it.as_millis()), next_wait(1, None, 1.0));
        assert_eq!((low, high.map(|it| it.as_millis())), (Some(4000), Some(6000)));
    }
}
