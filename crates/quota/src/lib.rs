//! Token buckets that all replicas share, without a visit to Redis per request.
//!
//! A replica takes a lease of tokens, uses them up, and takes the next lease. Without Redis each replica counts alone:
//! a failure of the limiter never fails a request.

mod bucket;
mod policy;
mod shared;

use std::time::Instant;

pub use bucket::{Bucket, Verdict};
pub use policy::Policy;
pub use shared::{REST, Redis, Shared, TIMEOUT, VisitError};

use bucket::Spent;

/// Takes a token of the shared bucket with this key.
pub async fn take(bucket: &Bucket, policy: Policy, shared: &Shared, key: &str) -> Verdict {
    let attempt = || {
        let now = Instant::now();
        if shared.is_up(now) { bucket.take_leased(policy, now) } else { Ok(bucket.take_own(policy, now)) }
    };
    if let Ok(verdict) = attempt() {
        return verdict;
    }
    let _one_at_a_time = bucket.visit.lock().await;
    // Another request may have got a lease meanwhile.
    let unused = match attempt() {
        Ok(verdict) => return verdict,
        Err(Spent { unused }) => unused,
    };
    if let Some((granted, left)) = shared.lease(key, policy, unused).await {
        bucket.keep(policy, granted, left, Instant::now());
    }
    attempt().unwrap_or_else(|Spent { .. }| bucket.take_own(policy, Instant::now()))
}
