//! What one replica knows of one bucket.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::Policy;

/// Tokens of a lease not used within this go back at the next visit.
const LEASE_TIME: Duration = Duration::from_secs(10);

/// After a visit that brought fewer tokens than it asked for, the shared bucket is nearly empty: it is left alone so
/// long, at least, or a flood would knock at Redis once a request.
const PAUSE: Duration = Duration::from_millis(250);

/// One bucket's counts in this replica, and the right to visit the shared bucket for them.
#[derive(Debug)]
pub struct Bucket {
    counts: Mutex<Counts>,
    /// Held during a visit: requests of the same bucket wait for its lease instead of visiting too.
    pub(crate) visit: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Counts {
    /// This replica's own bucket is full again then. It is kept while Redis answers too: no replica alone lets more
    /// through than the limit, and it knows where to begin when Redis goes away.
    full_at: Instant,
    /// Tokens in hand, until when they are good.
    lease: u32,
    lease_until: Instant,
    /// What the shared bucket held after the last visit, and when that was.
    shared: Option<(u32, Instant)>,
    /// No visit before.
    visit_at: Instant,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Admitted {
        /// Tokens that remain.
        left: u32,
    },
    /// It is refused.
    Refused {
        /// A token may be there after so long.
        wait: Duration,
    },
}

/// No lease is in hand: the shared bucket must be visited; so many tokens of an old lease go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) unused: u32,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        let counts = Counts { full_at: now, lease: 0, lease_until: now, shared: None, visit_at: now };
        Self { counts: Mutex::new(counts), visit: tokio::sync::Mutex::new(()) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether forgetting it would change nothing.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.counts().full_at <= now
    }

    /// Takes a token of this replica's own bucket only.
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
    /// There is none, and the shared bucket may be visited.
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

    /// Keeps what a visit brought; `left` is what remained in the shared bucket.
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
    /// Tokens in this replica's own bucket, at least one; else the time until there is one.
    fn own_left(&self, policy: Policy, now: Instant) -> Result<u32, Duration> {
        let until_full = self.full_at.saturating_duration_since(now);
        match policy.left(until_full) {
            0 => Err(until_full.saturating_sub(policy.until_full(1))),
            left => Ok(left),
        }
    }

    /// `left` counts the token that is being taken.
    fn take(&mut self, policy: Policy, now: Instant, left: u32) -> Verdict {
        self.full_at = self.full_at.max(now) + policy.interval;
        Verdict::Admitted { left: left.saturating_sub(1) }
    }
}
