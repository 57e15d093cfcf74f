//! Buckets of tokens that all replicas share, never at one visit to Redis a request.
//!
//! A replica takes a lease of tokens, uses it up by itself and takes the next. Without Redis each replica counts for
//! itself: a limit is never a reason to fail.

mod bucket;
mod policy;
mod shared;

use std::time::Instant;

pub use bucket::{Bucket, Verdict};
pub use policy::Policy;
pub use shared::{PATIENCE, REST, Redis, Shared, Trouble};

use bucket::Spent;

/// Takes a token of the bucket that all replicas know by this key.
pub async fn take(bucket: &Bucket, policy: Policy, shared: &Shared, key: &str) -> Verdict {
    let attempt = || {
        let now = Instant::now();
        if shared.is_up(now) { bucket.take_leased(policy, now) } else { Ok(bucket.take_own(policy, now)) }
    };
    if let Ok(verdict) = attempt() {
        return verdict;
    }
    let _one_at_a_time = bucket.visit.lock().await;
    // Another request may have brought a lease meanwhile.
    let unused = match attempt() {
        Ok(verdict) => return verdict,
        Err(Spent { unused }) => unused,
    };
    if let Some((granted, left)) = shared.lease(key, policy, unused).await {
        bucket.keep(policy, granted, left, Instant::now());
    }
    attempt().unwrap_or_else(|Spent { .. }| bucket.take_own(policy, Instant::now()))
}
