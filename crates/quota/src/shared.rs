//! The shared buckets, in Redis.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{RedisError, Script, cmd};
use deadpool_redis::{Config, CreatePoolError, Pool, PoolError, Runtime};
use domain::Chain;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::policy::Policy;

/// Default time limit of a visit. A slower Redis counts as unavailable.
pub const TIMEOUT: Duration = Duration::from_millis(250);

/// Default time for which an unavailable Redis is not visited. Each replica counts alone meanwhile.
pub const REST: Duration = Duration::from_secs(5);

/// Client of the shared buckets.
pub struct Shared {
    redis: Pool,
    script: Script,
    prefix: String,
    timeout: Duration,
    rest: Duration,
    resting_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The Redis of a limit, for health checks.
#[derive(Clone)]
pub struct Redis(Pool);

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Checks whether Redis answers.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn ping(&self) -> Result<(), VisitError> {
        let mut connection = self.0.get().await?;
        Ok(cmd("PING").query_async(&mut connection).await?)
    }
}

/// The reason why a visit failed.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// Redis is too slow.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// Redis cannot be reached.
    #[error("no connection")]
    Pool(#[from] PoolError),
    /// Redis rejected the script.
    #[error("the script failed")]
    Redis(#[from] RedisError),
}

impl Shared {
    /// Buckets whose keys begin with `prefix`. A Redis slower than `timeout` counts as unavailable, and is then not
    /// visited for `rest`; see [`TIMEOUT`] and [`REST`].
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn new(
        prefix: impl Into<String>,
        url: &SecretString,
        timeout: Duration,
        rest: Duration,
    ) -> Result<Self, CreatePoolError> {
        let redis = Config::from_url(url.expose_secret()).create_pool(Some(Runtime::Tokio1))?;
        let script = Script::new(include_str!("lease.lua"));
        Ok(Self { redis, script, prefix: prefix.into(), timeout, rest, resting_until: Mutex::new(None) })
    }

    /// The same Redis, for health checks.
    pub fn redis(&self) -> Redis {
        Redis(self.redis.clone())
    }

    /// Whether Redis should be visited.
    pub(crate) fn is_up(&self, now: Instant) -> bool {
        self.resting_until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| until <= now)
    }

    /// Returns `unused` tokens and takes a new lease: tokens granted, tokens left. `None` when Redis is unavailable.
    pub async fn lease(&self, account: &str, policy: Policy, unused: u32) -> Option<(u32, u32)> {
        let visit = timeout(self.timeout, self.visit(account, policy, unused));
        match visit.await.unwrap_or(Err(VisitError::Silent(self.timeout))) {
            Ok(lease) => Some(lease),
            Err(error) => {
                let until = Instant::now() + self.rest;
                *self.resting_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                tracing::warn!(error = %Chain(&error), "Redis is unavailable; each replica counts requests alone");
                None
            }
        }
    }

    async fn visit(&self, account: &str, policy: Policy, unused: u32) -> Result<(u32, u32), VisitError> {
        let mut connection = self.redis.get().await?;
        let mut call = self.script.key(format!("{}{account}", self.prefix));
        call.arg(u64::try_from(policy.interval.as_micros()).unwrap_or(u64::MAX));
        call.arg(policy.burst).arg(policy.lease()).arg(unused);
        Ok(call.invoke_async(&mut connection).await?)
    }
}
