//! Where deliveries go: settings and opened keys, asked for again after a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;
use uuid::Uuid;

use crate::domain::signature::SigningKey;
use crate::state::State;
use crate::store::subscriptions;

/// A change of a subscription is heeded within this.
const BELIEVED: Duration = Duration::from_secs(1);

/// A receiver.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) key: SigningKey,
    pub(crate) timeout: Duration,
    pub(crate) retry_count: Option<usize>,
}

/// What was read of a subscription, and when.
type Read = (Instant, Option<Arc<Endpoint>>);

/// Receivers by subscription; none where it was removed, paused, or cannot be read.
#[derive(Debug)]
pub(crate) struct Endpoints {
    state: State,
    known: Mutex<HashMap<Uuid, Read>>,
}

impl Endpoints {
    pub(crate) fn new(state: State) -> Self {
        Self { state, known: Mutex::default() }
    }

    /// The receiver of a subscription.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<Arc<Endpoint>>, pg::Error> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, endpoint)) = known.get(&id)
                && read_at.elapsed() < BELIEVED
            {
                return Ok(endpoint.clone());
            }
        }
        let mut conn = self.state.pool.get().await?;
        let found = subscriptions::find(&mut conn, id.into()).await?.filter(|it| it.is_active);
        let endpoint = found.and_then(|subscription| {
            let key = subscription.signing_key(&self.state.keyring);
            let key = key
                .inspect_err(|error| tracing::error!(%error, subscription = %id, "a secret does not open"));
            Some(Arc::new(Endpoint {
                url: subscription.url.parse().ok()?,
                key: key.ok()?,
                timeout: Duration::from_secs(subscription.timeout_seconds.unsigned_abs().into()),
                retry_count: subscription.retry_count.and_then(|count| usize::try_from(count).ok()),
            }))
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (read_at, _)| read_at.elapsed() < BELIEVED);
        known.insert(id, (Instant::now(), endpoint.clone()));
        Ok(endpoint)
    }
}
