//! The pause after a 429, shared by every replica with the same client id through Redis.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{AsyncCommands, pipe};
use deadpool_redis::{Config, Pool, Runtime};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// Allegro releases a blocked client id after a minute.
pub(super) const PAUSE: Duration = Duration::from_mins(1);
/// How long what Redis said is believed: one question a second, not one a call.
const BELIEVED: Duration = Duration::from_secs(1);
/// Redis slower than this counts as away; then each replica pauses for itself.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whether we must not call, and until when. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pause {
    redis: Pool,
    key: String,
    local: Arc<Mutex<Local>>,
}

#[derive(Default)]
struct Local {
    until: Option<Instant>,
    asked_at: Option<Instant>,
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Pause {
    /// Prepares the pause of one client id; nothing is opened yet.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub(crate) fn new(
        redis_url: &SecretString,
        client_id: &str,
    ) -> Result<Self, deadpool_redis::CreatePoolError> {
        let redis = Config::from_url(redis_url.expose_secret()).create_pool(Some(Runtime::Tokio1))?;
        Ok(Self { redis, key: format!("allegro:pause:{client_id}"), local: Arc::default() })
    }

    /// How long nobody may call, if so.
    pub(crate) async fn remaining(&self) -> Option<Duration> {
        let now = Instant::now();
        {
            let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(until) = local.until.filter(|until| *until > now) {
                return Some(until - now);
            }
            if local.asked_at.is_some_and(|at| now - at < BELIEVED) {
                return None;
            }
            local.asked_at = Some(now);
        }
        let remaining = timeout(PATIENCE, self.ask()).await.ok().flatten()?;
        self.local.lock().unwrap_or_else(PoisonError::into_inner).until = Some(now + remaining);
        Some(remaining)
    }

    /// Begins a pause for everybody, of `wait` or a minute, whichever is longer, and returns how long it is. One that lasts
    /// longer already stays.
    pub(crate) async fn begin(&self, wait: Duration) -> Duration {
        let wait = wait.max(PAUSE);
        let until = Instant::now() + wait;
        {
            let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            local.until = local.until.max(Some(until));
        }
        if timeout(PATIENCE, self.tell(wait)).await.ok().flatten().is_none() {
            tracing::warn!("Redis is away: other replicas do not hear of the pause");
        }
        wait
    }

    /// Asks Redis whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) async fn ping(&self) -> Result<(), deadpool_redis::PoolError> {
        let mut connection = self.redis.get().await?;
        let _pong: String = deadpool_redis::redis::cmd("PING").query_async(&mut connection).await?;
        Ok(())
    }

    async fn ask(&self) -> Option<Duration> {
        let mut connection = self.redis.get().await.ok()?;
        let millis: i64 = connection.pttl(&self.key).await.ok()?;
        u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
    }

    async fn tell(&self, wait: Duration) -> Option<()> {
        let mut connection = self.redis.get().await.ok()?;
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let mut commands = pipe();
        commands.cmd("SET").arg(&self.key).arg("429").arg("NX").arg("PX").arg(millis).ignore();
        commands.cmd("PEXPIRE").arg(&self.key).arg(millis).arg("GT").ignore();
        commands.query_async(&mut connection).await.ok()
    }
}
