//! The policy of a limit.

use std::time::Duration;

const WINDOW: Duration = Duration::from_mins(1);

/// The size and rate of a token bucket: each request takes a token, and tokens grow at a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tokens that grow per minute.
    pub per_minute: u32,
    /// Capacity of the bucket.
    pub burst: u32,
    /// The time in which one token grows, in whole microseconds, so that Redis computes exactly the same.
    pub interval: Duration,
}

impl Policy {
    /// A policy, or `None` (no limit) when the quota is 0.
    pub fn new(per_minute: u32, burst: u32) -> Option<Self> {
        let interval = WINDOW.checked_div(per_minute)?.as_micros();
        let interval = Duration::from_micros(u64::try_from(interval).unwrap_or(u64::MAX).max(1));
        Some(Self { per_minute, burst: burst.max(1), interval })
    }

    /// A policy that never exceeds `per_minute` in any minute, whatever the bucket contains: a tenth may be used at
    /// once, and the rest grows. `None` (no limit) when the quota is 0.
    pub fn strict(per_minute: u32) -> Option<Self> {
        let burst = (per_minute / 10).max(1);
        Self::new(per_minute.saturating_sub(burst).max(per_minute.min(1)), burst)
    }

    /// Tokens per lease: few enough that unused ones are not missed by other replicas, and enough that few requests
    /// need Redis.
    pub(crate) fn lease(self) -> u32 {
        (self.burst / 10).max(1)
    }

    /// Whole tokens that grow in `time`.
    pub fn grown(self, time: Duration) -> u32 {
        u32::try_from(time.as_nanos() / self.interval.as_nanos()).unwrap_or(u32::MAX)
    }

    /// Whole tokens in a bucket that is full again after `time`.
    pub(crate) fn left(self, time: Duration) -> u32 {
        let missing = time.as_nanos().div_ceil(self.interval.as_nanos());
        self.burst.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// The time until a bucket with `left` tokens is full.
    pub fn until_full(self, left: u32) -> Duration {
        self.interval.saturating_mul(self.burst.saturating_sub(left))
    }
}
