//! Where deliveries go: settings and opened keys, asked for again after a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Panic;
use egress::{Clients, GuardedClient};
use pg::sealed::SealError;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::redaction::Redaction;
use crate::domain::schedule::Schedule;
use crate::domain::settings::PayloadStyle;
use crate::domain::signature::SigningKey;
use crate::state::State;
use crate::store::subscriptions::{self, SealedTls, Subscription};

/// A change of a subscription is heeded within this.
const BELIEVED: Duration = Duration::from_secs(1);

/// How long a client of a subscription's own is kept that nothing is sent through.
const KEPT: Duration = Duration::from_mins(1);

/// A receiver.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) client: GuardedClient,
    /// What the client was made from, if it is one of its own.
    tls: Option<SealedTls>,
    pub(crate) url: Url,
    /// What signs, the present key first.
    pub(crate) keys: Vec<SigningKey>,
    /// Sent along.
    pub(crate) headers: HeaderMap,
    /// Removed from recorded answers.
    pub(super) redaction: Redaction,
    pub(crate) style: PayloadStyle,
    /// Whether the signature of before the standard is sent too.
    pub(crate) seed_signature: bool,
    pub(crate) timeout: Duration,
    pub(crate) schedule: Schedule,
    /// Requests at once; as it turns out when absent.
    pub(crate) max_concurrency: Option<usize>,
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
    /// What is stored is no certificate.
    #[error(transparent)]
    Tls(#[from] egress::Error),
    /// The code that reads the stored values panicked.
    #[error(transparent)]
    Panicked(#[from] Panic),
}

/// Receivers by subscription.
#[derive(Debug)]
pub(crate) struct Endpoints {
    state: State,
    clients: Clients,
    known: Mutex<HashMap<Uuid, (Instant, Arc<Endpoint>)>>,
}

impl Endpoints {
    pub(crate) fn new(state: State, clients: Clients) -> Self {
        Self { state, clients, known: Mutex::default() }
    }

    /// The receiver of a subscription; none when it was removed or is not active.
    ///
    /// # Errors
    /// When it cannot be looked up now.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<Arc<Endpoint>>, LookupError> {
        let before = self.lock().get(&id).cloned();
        if let Some((read_at, endpoint)) = &before
            && read_at.elapsed() < BELIEVED
        {
            return Ok(Some(Arc::clone(endpoint)));
        }
        let mut conn = self.state.pool.get().await?;
        let found = subscriptions::find(&mut conn, id.into()).await?.filter(|it| it.is_active);
        drop(conn);
        let Some(subscription) = found else { return Ok(None) };
        let (client, tls) = self.client(&subscription, before.map(|(_, endpoint)| endpoint))?;
        let url = subscription.url(&self.state.keyring)?.parse()?;
        let headers = headers(&subscription.headers(&self.state.keyring)?)
            .ok_or_else(|| pg::Error::corrupt("webhook_credentials", id, "headers"))?;
        let endpoint = Arc::new(Endpoint {
            client,
            tls,
            max_concurrency: number(&subscription, "max_concurrency", subscription.max_concurrency)?,
            redaction: Redaction::new(&url, &headers),
            url,
            keys: subscription.signing_keys(&self.state.keyring, self.state.now())?,
            headers,
            style: subscription.payload_style,
            seed_signature: subscription.seed_signature,
            timeout: Duration::from_secs(seconds(
                &subscription,
                "timeout_seconds",
                subscription.timeout_seconds,
            )?),
            schedule: schedule(&subscription)?,
        });
        let mut known = self.lock();
        known.retain(|_, (read_at, _)| read_at.elapsed() < KEPT);
        known.insert(id, (Instant::now(), Arc::clone(&endpoint)));
        Ok(Some(endpoint))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Instant, Arc<Endpoint>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client everybody shares, or one of its own; the one from before while nothing about it has changed, with its
    /// open connections.
    fn client(
        &self,
        subscription: &Subscription,
        before: Option<Arc<Endpoint>>,
    ) -> Result<(GuardedClient, Option<SealedTls>), LookupError> {
        let Some(tls) = subscription.sealed_tls() else { return Ok((self.clients.usual(), None)) };
        if let Some(before) = before.filter(|before| before.tls.as_ref() == Some(&tls)) {
            return Ok((before.client.clone(), Some(tls)));
        }
        Ok((self.clients.with(&subscription.tls(&self.state.keyring)?)?, Some(tls)))
    }
}

fn schedule(subscription: &Subscription) -> Result<Schedule, pg::Error> {
    let read = |wait: &i32| seconds(subscription, "retry_schedule", *wait);
    let waits = subscription.retry_schedule.as_ref();
    Ok(Schedule {
        retry_count: number(subscription, "retry_count", subscription.retry_count)?,
        waits: waits.map(|waits| waits.iter().map(read).collect()).transpose()?,
    })
}

/// A stored number that is never negative.
fn number(
    subscription: &Subscription,
    column: &'static str,
    value: Option<i32>,
) -> Result<Option<usize>, pg::Error> {
    value.map(|it| usize::try_from(it).map_err(|_negative| subscription.corrupt(column))).transpose()
}

/// A stored number of seconds.
fn seconds(subscription: &Subscription, column: &'static str, value: i32) -> Result<u64, pg::Error> {
    u64::try_from(value).map_err(|_negative| subscription.corrupt(column))
}

/// The stored headers; none if one of them is malformed.
fn headers(given: &[(String, String)]) -> Option<HeaderMap> {
    let read = |(name, value): &(String, String)| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
    };
    given.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::headers;

    #[test]
    fn one_malformed_header_is_not_left_out() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let good = pair("x-tenant", "zielony");
        assert_eq!(headers(std::slice::from_ref(&good)).map(|headers| headers.len()), Some(1));
        assert_eq!(headers(&[good.clone(), pair("x tenant", "zielony")]), None);
        assert_eq!(headers(&[good, pair("authorization", "Bearer\n1")]), None);
    }
}
