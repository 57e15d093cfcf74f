//! Rate limits of callers.
//!
//! A token bucket per caller, shared by all replicas by leases ([`quota`]). Without Redis each replica counts alone. A
//! failure of the limiter never fails a request.
//!
//! Requests without a valid credential are counted by address, in this replica only. Requests with a valid credential
//! are never limited by address: behind a proxy all callers have the same one, and anyone can write `X-Forwarded-For`.

mod limit_headers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::web::Data;
use chassis::config::RateLimit;
use deadpool_redis::CreatePoolError;
use quota::{Bucket, Policy, REST, Redis, Shared, TIMEOUT};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use self::limit_headers::LimitState;
pub(crate) use self::limit_headers::Slot;
use crate::problem::Problem;

/// Maximum number of callers with a bucket of their own. Further callers share one bucket.
const MAX_ENTRIES: usize = 65_536;

/// Fewer entries are not swept for idle ones.
const MIN_SWEEP: usize = 1024;

/// Minimum interval between sweeps.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Limits the request rates of callers.
#[derive(Debug)]
pub struct Limiter {
    callers: Option<Policy>,
    services: Option<Policy>,
    shared: Option<Shared>,
    entries: Mutex<Entries>,
}

/// The account of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account<'a> {
    /// A caller: the kind of its credential, and its name, which is unique within that kind.
    Caller(&'static str, &'a str),
    /// As `Caller`, for a credential with the scope `service`.
    Service(&'static str, &'a str),
    /// A request from this address without a valid credential.
    Address(Option<IpAddr>),
}

/// Hash of an account: of fixed size, whatever a token contains, and without personal data in Redis.
type Key = [u8; 16];

#[derive(Debug, Default)]
struct Entries {
    known: HashMap<Key, Arc<Bucket>>,
    /// Size of the map at which idle entries are removed.
    sweep_at: usize,
    swept: Option<Instant>,
}

impl Limiter {
    /// `redis` holds the counts that replicas of `service` share. Without it each replica counts alone.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn new(
        service: &str,
        limit: RateLimit,
        redis: Option<&SecretString>,
    ) -> Result<Self, CreatePoolError> {
        let shared =
            redis.map(|url| Shared::new(format!("{service}:rate:"), url, TIMEOUT, REST)).transpose()?;
        Ok(Self::over(limit, shared))
    }

    fn over(limit: RateLimit, shared: Option<Shared>) -> Self {
        Self {
            callers: Policy::new(limit.per_minute, limit.burst),
            services: Policy::new(limit.service_per_minute, limit.burst),
            shared,
            entries: Mutex::default(),
        }
    }

    /// The shared counts.
    pub(crate) fn redis(&self) -> Option<Redis> {
        self.shared.as_ref().map(Shared::redis)
    }

    /// Counts one request. `None` if no limit applies.
    async fn count(&self, account: Account<'_>) -> Option<LimitState> {
        let policy = match account {
            Account::Caller(..) | Account::Address(_) => self.callers,
            Account::Service(..) => self.services,
        }?;
        let key = account.key();
        let entry = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(key, Instant::now());
        let shared = self.shared.as_ref().filter(|_| !matches!(account, Account::Address(_)));
        let verdict = match shared {
            Some(shared) => quota::take(&entry, policy, shared, &hex(key)).await,
            None => entry.take_own(policy, Instant::now()),
        };
        Some(LimitState::new(policy, verdict))
    }
}

/// Counts a request and stores the result for the answer's headers. Returns the answer if the limit is exceeded.
pub(crate) async fn count(request: &ServiceRequest, account: Account<'_>) -> Option<Problem> {
    let limiter = request.app_data::<Data<Limiter>>()?;
    let state = limiter.count(account).await?;
    if let Some(slot) = request.extensions().get::<Slot>() {
        slot.fill(state);
    }
    let refusal = state.refusal();
    if refusal.is_some() {
        let by = if matches!(account, Account::Address(_)) { "address" } else { "caller" };
        metrics::counter!(crate::metrics::RATE_LIMITED, "by" => by).increment(1);
    }
    refusal
}

fn hex(key: Key) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

impl Account<'_> {
    fn key(self) -> Key {
        let mut hash = Sha256::new();
        match self {
            Self::Caller(kind, name) => hash.update(format!("caller {kind} {name}")),
            Self::Service(kind, name) => hash.update(format!("service {kind} {name}")),
            Self::Address(address) => hash.update(format!("address {}", network(address))),
        }
        let hash: [u8; 32] = hash.finalize().into();
        u128::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 16])).to_be_bytes()
    }
}

/// A subscriber gets a whole /64 of IPv6 (RFC 6177).
fn network(address: Option<IpAddr>) -> u128 {
    match address.map(|address| address.to_canonical()) {
        None => 0,
        Some(IpAddr::V4(v4)) => u128::from(v4.to_bits()),
        Some(IpAddr::V6(v6)) => v6.to_bits() >> 64 << 64,
    }
}

impl Entries {
    fn get(&mut self, key: Key, now: Instant) -> Arc<Bucket> {
        if let Some(entry) = self.known.get(&key) {
            return Arc::clone(entry);
        }
        let is_time = self.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_PAUSE);
        if self.known.len() >= self.sweep_at.max(MIN_SWEEP) && is_time {
            self.swept = Some(now);
            self.known.retain(|_, entry| !entry.is_idle(now));
            // Twice as many: the cost of a sweep per new caller is constant.
            self.sweep_at = (self.known.len() * 2).min(MAX_ENTRIES);
        }
        let key = if self.known.len() < MAX_ENTRIES { key } else { Key::default() };
        Arc::clone(self.known.entry(key).or_insert_with(|| Arc::new(Bucket::new(now))))
    }
}
