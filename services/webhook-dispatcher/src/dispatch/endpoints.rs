//! Where deliveries go: settings and opened keys, asked for again after a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pg::sealed::SealError;
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

/// Why a receiver cannot be used now; its deliveries wait.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The database is away.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// The secret does not open: a key is not configured.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What is stored is no address.
    #[error("the stored address is malformed")]
    Url(#[from] url::ParseError),
}

/// Receivers by subscription.
#[derive(Debug)]
pub(crate) struct Endpoints {
    state: State,
    known: Mutex<HashMap<Uuid, (Instant, Arc<Endpoint>)>>,
}

impl Endpoints {
    pub(crate) fn new(state: State) -> Self {
        Self { state, known: Mutex::default() }
    }

    /// The receiver of a subscription; none when it was removed or is not active.
    ///
    /// # Errors
    /// When it cannot be looked up now.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<Arc<Endpoint>>, LookupError> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, endpoint)) = known.get(&id)
                && read_at.elapsed() < BELIEVED
            {
                return Ok(Some(Arc::clone(endpoint)));
            }
        }
        let mut conn = self.state.pool.get().await?;
        let found = subscriptions::find(&mut conn, id.into()).await?.filter(|it| it.is_active);
        drop(conn);
        let Some(subscription) = found else { return Ok(None) };
        let endpoint = Arc::new(Endpoint {
            url: subscription.url.parse()?,
            key: subscription.signing_key(&self.state.keyring)?,
            timeout: Duration::from_secs(subscription.timeout_seconds.unsigned_abs().into()),
            retry_count: subscription.retry_count.and_then(|count| usize::try_from(count).ok()),
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (read_at, _)| read_at.elapsed() < BELIEVED);
        known.insert(id, (Instant::now(), Arc::clone(&endpoint)));
        Ok(Some(endpoint))
    }
}
