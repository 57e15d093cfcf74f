//! Delays before retries.

use std::time::Duration;

/// Spreads a delay over ±`ratio` of itself, so that callers that failed together do not retry together.
///
/// `unit` is a random number in `0.0..1.0`; `ratio` is clamped to `0.0..=1.0`.
pub fn jitter(delay: Duration, ratio: f64, unit: f64) -> Duration {
    let ratio = ratio.clamp(0.0, 1.0);
    delay.mul_f64(1.0 - ratio + 2.0 * ratio * unit.clamp(0.0, 1.0))
}

/// Exponential delay before attempt number `attempt` (the first retry is 1): `base · 2^(attempt-1)`, at most `cap`.
pub fn exponential(base: Duration, attempt: u32, cap: Duration) -> Duration {
    let factor = 2_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    base.checked_mul(factor).map_or(cap, |delay| delay.min(cap))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{exponential, jitter};

    #[test]
    fn delays_double_up_to_the_cap() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        let delays: Vec<u128> = (1..=8).map(|n| exponential(base, n, cap).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(exponential(base, u32::MAX, cap), cap);
    }

    #[test]
    fn jitter_stays_within_its_ratio() {
        let delay = Duration::from_secs(100);
        assert_eq!(jitter(delay, 0.2, 0.0), Duration::from_secs(80));
        assert_eq!(jitter(delay, 0.2, 0.5), delay);
        assert_eq!(jitter(delay, 0.2, 1.0), Duration::from_mins(2));
    }
}
