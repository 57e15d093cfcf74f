//! When allegro-backup is asked again.

use std::time::Duration;

use domain::backoff;

/// How the delays grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    pub(crate) initial: Duration,
    pub(crate) longest: Duration,
    /// By how much each is longer than the one before.
    pub(crate) base: f64,
    /// Spread over the second half of each delay.
    pub(crate) jitter: bool,
}

impl Retry {
    /// The delay after the `failures`-th failure: `initial · base^(failures − 1)`, at most `longest`; spread over its
    /// second half. `unit` is a random number in `0.0..1.0`.
    pub(crate) fn delay(&self, failures: u32, unit: f64) -> Duration {
        let power = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.base.powi(power);
        let delay = Duration::try_from_secs_f64(seconds).map_or(self.longest, |it| it.min(self.longest));
        // Three quarters, and a third of that to each side.
        if self.jitter { backoff::jitter(delay.mul_f64(0.75), 1.0 / 3.0, unit) } else { delay }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Retry;

    const SEED: Retry =
        Retry { initial: Duration::from_mins(1), longest: Duration::from_hours(1), base: 2.0, jitter: false };

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays: Vec<u64> = (1..=8).map(|n| SEED.delay(n, 0.0).as_secs()).collect();
        assert_eq!(delays, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(SEED.delay(u32::MAX, 0.0), SEED.longest);
    }

    #[test]
    fn jitter_spreads_over_the_second_half() {
        let spread = Retry { jitter: true, ..SEED };
        assert_eq!(spread.delay(2, 0.0), Duration::from_mins(1));
        assert_eq!(spread.delay(2, 1.0), Duration::from_mins(2));
    }
}
