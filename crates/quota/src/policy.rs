//! How much may be asked.

use std::time::Duration;

const WINDOW: Duration = Duration::from_mins(1);

/// A bucket of tokens: each request takes one, and they grow again at a steady pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tokens that grow in a minute.
    pub per_minute: u32,
    /// Tokens a full bucket holds.
    pub burst: u32,
    /// In this time one token grows. Whole microseconds, so that Redis counts exactly as we do.
    pub interval: Duration,
}

impl Policy {
    /// None where the quota is 0: no limit.
    pub fn new(per_minute: u32, burst: u32) -> Option<Self> {
        let interval = WINDOW.checked_div(per_minute)?.as_micros();
        let interval = Duration::from_micros(u64::try_from(interval).unwrap_or(u64::MAX).max(1));
        Some(Self { per_minute, burst: burst.max(1), interval })
    }

    /// Never more than `per_minute` in any minute, whatever stands in the bucket: a tenth may come at once, and the rest
    /// grows. None where the quota is 0: no limit.
    pub fn strict(per_minute: u32) -> Option<Self> {
        let burst = (per_minute / 10).max(1);
        Self::new(per_minute.saturating_sub(burst).max(per_minute.min(1)), burst)
    }

    /// Tokens a replica takes out of the shared bucket at once: few enough that what lies unused in one replica
    /// is not missed in another, enough that Redis hears of one request in many.
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

    /// The time in which a bucket with `left` tokens is full again.
    pub fn until_full(self, left: u32) -> Duration {
        self.interval.saturating_mul(self.burst.saturating_sub(left))
    }
}
