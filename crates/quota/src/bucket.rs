//! The state of one bucket in one replica.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::Policy;

/// Tokens of a lease that are not used within this time are returned at the next visit.
const LEASE_TIME: Duration = Duration::from_secs(10);

/// After a visit that returned fewer tokens than requested, the shared bucket is nearly empty. It is not visited again
/// for at least this time, because a flood would otherwise cause a visit per request.
const PAUSE: Duration = Duration::from_millis(250);

/// One bucket's counts in this replica, and the right to visit the shared bucket.
#[derive(Debug)]
pub struct Bucket {
    counts: Mutex<Counts>,
    /// Held during a visit: requests of the same bucket wait for its lease instead of visiting too.
    pub(crate) visit: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Counts {
    /// The time at which this replica's own bucket is full. It is maintained while Redis answers too: no single replica
    /// exceeds the limit, and its count is right when Redis becomes unavailable.
    full_at: Instant,
    /// Tokens of the lease, and their expiry.
    lease: u32,
    lease_until: Instant,
    /// Tokens left in the shared bucket after the last visit, and the time of that visit.
    shared: Option<(u32, Instant)>,
    /// The earliest time of the next visit.
    visit_at: Instant,
}

/// The decision on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request is admitted.
    Admitted {
        /// Remaining tokens.
        left: u32,
    },
    /// The request is rejected.
    Refused {
        /// Time until a token may be available.
        wait: Duration,
    },
}

/// The lease is used up: the shared bucket must be visited. Contains the unused tokens of an expired lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) unused: u32,
}

impl Bucket {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        let counts = Counts { full_at: now, lease: 0, lease_until: now, shared: None, visit_at: now };
        Self { counts: Mutex::new(counts), visit: tokio::sync::Mutex::new(()) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether removing it would change nothing.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.counts().full_at <= now
    }

    /// Takes a token only of this replica's own bucket.
    pub fn take_own(&self, policy: Policy, now: Instant) -> Verdict {
        let mut counts = self.counts();
        match counts.own_left(policy, now) {
            Ok(left) => counts.take(policy, now, left),
            Err(wait) => Verdict::Refused { wait },
        }
    }

    /// Takes a token of the lease.
    ///
    /// # Errors
    /// The lease has none, and the shared bucket may be visited.
    pub(crate) fn take_leased(&self, policy: Policy, now: Instant) -> Result<Verdict, Spent> {
        let mut counts = self.counts();
        let own = match counts.own_left(policy, now) {
            Ok(left) => left,
            Err(wait) => return Ok(Verdict::Refused { wait }),
        };
        if counts.lease > 0 && now < counts.lease_until {
            counts.lease -= 1;
            let shared = counts.shared.map_or(policy.burst, |(left, seen)| {
                left.saturating_add(policy.grown(now.saturating_duration_since(seen)))
            });
            let left = own.min(counts.lease.saturating_add(shared).saturating_add(1));
            return Ok(counts.take(policy, now, left));
        }
        if now < counts.visit_at {
            return Ok(Verdict::Refused { wait: counts.visit_at.saturating_duration_since(now) });
        }
        Err(Spent { unused: counts.lease })
    }

    /// Stores the result of a visit. `left` are the tokens left in the shared bucket.
    pub(crate) fn keep(&self, policy: Policy, granted: u32, left: u32, now: Instant) {
        let mut counts = self.counts();
        counts.lease = granted;
        counts.lease_until = now + LEASE_TIME;
        counts.shared = Some((left, now));
        let is_drained = granted < policy.lease();
        counts.visit_at = if is_drained { now + PAUSE.max(policy.interval) } else { now };
    }
}

impl Counts {
    /// The tokens in this replica's own bucket, if there is at least one; otherwise the time until there is one.
    fn own_left(&self, policy: Policy, now: Instant) -> Result<u32, Duration> {
        let until_full = self.full_at.saturating_duration_since(now);
        match policy.left(until_full) {
            0 => Err(until_full.saturating_sub(policy.until_full(1))),
            left => Ok(left),
        }
    }

    /// `left` includes the token that is being taken.
    fn take(&mut self, policy: Policy, now: Instant, left: u32) -> Verdict {
        self.full_at = self.full_at.max(now) + policy.interval;
        Verdict::Admitted { left: left.saturating_sub(1) }
    }
}
