//! Creates, changes and removes subscriptions.

use std::collections::BTreeMap;
use std::fmt::Debug;

use domain::SubscriptionId;
use pg::sealed::SealError;
use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::replays;
use crate::domain::alert::WebhookDisabled;
use crate::domain::receiver_url;
pub(crate) use crate::domain::settings::Settings;
pub(crate) use crate::domain::signature::{Malformed, Scheme, SigningKey};
use crate::state::State;
use crate::store::sealed::{self, PreviousKey};
pub(crate) use crate::store::subscriptions::Subscription;
use crate::store::subscriptions::changes::{self, SealedSettings};
use crate::store::subscriptions::{self, Ownership};

/// Keys that sign beside the present one, at most.
const MAX_PREVIOUS: usize = 10;

/// Why a subscription could not be created or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError<E> {
    #[error(transparent)]
    Database(#[from] pg::Error),
    #[error(transparent)]
    Seal(SealError),
    /// The subscription was removed.
    #[error("the subscription was removed")]
    Gone,
    /// The change contradicts the present settings.
    #[error("refused")]
    Refused(E),
}

/// New settings. Sealed values change only if the request names them.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) settings: Settings,
    pub(crate) names_headers: bool,
    pub(crate) names_certificate: bool,
}

/// Why a key could not be replaced.
#[derive(Debug)]
pub(crate) enum RotateRefusal {
    /// Ten others are still good.
    TooMany,
    /// It is good already.
    Known,
    /// It is asymmetric, and the signature of before the standard is asked for.
    SeedSignature,
}

/// Which key is to sign.
#[derive(Debug, Clone)]
pub(crate) enum NewKey {
    /// The caller's own.
    Given(SigningKey),
    /// A fresh one of this kind, or of the kind there is.
    Fresh(Option<Scheme>),
}

impl NewKey {
    /// The key; where nothing says of which kind, of the one there `is`.
    pub(crate) fn made(self, is: Scheme) -> SigningKey {
        match self {
            Self::Given(key) => key,
            Self::Fresh(wanted) => SigningKey::fresh(wanted.unwrap_or(is)),
        }
    }
}

/// Creates a subscription. Returns it with its secret, which is returned only once.
pub(crate) async fn create(
    conn: &mut pg::Connection,
    state: &State,
    owner: Option<&str>,
    settings: Settings,
    key: &SigningKey,
) -> Result<(Subscription, SecretString), WriteError<()>> {
    let id = SubscriptionId::from(state.ids.next_id());
    let now = state.now();
    let sealed_key = sealed::seal_key(&state.keyring, id, key).map_err(WriteError::Seal)?;
    let change = Change { settings, names_headers: true, names_certificate: true };
    let sealed = seal(state, id, &change).map_err(WriteError::Seal)?;
    let created = changes::insert(conn, id, owner, &change.settings, sealed_key, sealed, now).await?;
    Ok((created, key.shown()))
}

pub(crate) async fn find(state: &State, id: SubscriptionId) -> Result<Option<Subscription>, pg::Error> {
    subscriptions::find(&mut *state.pool.get().await?, id).await
}

/// Whose subscription it is; none when it was removed.
pub(crate) async fn ownership(state: &State, id: SubscriptionId) -> Result<Option<Ownership>, pg::Error> {
    subscriptions::ownership(&mut *state.pool.get().await?, id).await
}

pub(crate) async fn list(
    state: &State,
    owner: Option<&str>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Subscription>, pg::Error> {
    subscriptions::list(&mut *state.pool.get().await?, owner, after, limit).await
}

/// Changes a subscription whose rows it locks, so that concurrent changes of different settings both take effect. `edit` gets
/// the current settings and the scheme of the key.
pub(crate) async fn change<E: Debug + Send + 'static>(
    state: &State,
    id: SubscriptionId,
    edit: impl FnOnce(&Settings, Scheme) -> Result<Change, E> + Clone + Send,
) -> Result<Subscription, WriteError<E>> {
    let now = state.now();
    state
        .pool
        .transaction(async |conn| {
            let current = subscriptions::lock(conn, id).await?.ok_or(WriteError::Gone)?;
            let scheme = current.scheme(&state.keyring).map_err(WriteError::Seal)?;
            let settings = current.settings(&state.keyring).map_err(WriteError::Seal)?;
            let change = edit(&settings, scheme).map_err(WriteError::Refused)?;
            let sealed = seal(state, id, &change).map_err(WriteError::Seal)?;
            let changed = changes::update(conn, &current, &change.settings, sealed, now).await?;
            if changed.is_active {
                alerts::clear(conn, now, &WebhookDisabled::cause_of(id)).await?;
            }
            Ok(changed)
        })
        .await
}

fn seal(state: &State, id: SubscriptionId, change: &Change) -> Result<SealedSettings, SealError> {
    let keyring = &state.keyring;
    let headers = change.settings.headers.as_ref().filter(|headers: &&BTreeMap<_, _>| !headers.is_empty());
    let headers = headers.map(|headers| sealed::seal_headers(keyring, id, headers)).transpose()?;
    let pem = change.settings.client_certificate.as_ref();
    let pem = pem.map(|pem| sealed::seal_certificate(keyring, id, pem)).transpose()?;
    let (_origin, path_and_query) = receiver_url::split(&change.settings.url);
    Ok(SealedSettings {
        path_and_query: sealed::seal_path(keyring, id, path_and_query)?,
        headers: change.names_headers.then_some(headers),
        client_certificate: change.names_certificate.then_some(pem),
    })
}

/// Replaces the key; the present one signs too for `overlap`. Returns the subscription, the end of the overlap, and the new
/// secret, which is returned only once.
pub(crate) async fn rotate(
    conn: &mut pg::Connection,
    state: &State,
    id: SubscriptionId,
    key: NewKey,
    overlap: Duration,
) -> Result<(Subscription, OffsetDateTime, SecretString), WriteError<RotateRefusal>> {
    let now = state.now();
    let current = subscriptions::lock(conn, id).await?.ok_or(WriteError::Gone)?;
    let keyring = &state.keyring;
    let live = current.signing_keys(keyring, now).map_err(WriteError::Seal)?;
    let key = key.made(live.first().map_or(Scheme::V1, SigningKey::scheme));
    let kept = key.kept();
    if live.iter().any(|known| known.kept() == kept) {
        return Err(WriteError::Refused(RotateRefusal::Known));
    }
    if current.seed_signature && key.scheme() != Scheme::V1 {
        return Err(WriteError::Refused(RotateRefusal::SeedSignature));
    }
    let mut previous = current.previous_keys(keyring).map_err(WriteError::Seal)?;
    previous.retain(|it| it.expires_at > now);
    let expires_at = now + overlap;
    if overlap.is_positive()
        && let Some(replaced) = live.into_iter().next()
    {
        previous.insert(0, PreviousKey { key: replaced, expires_at });
    }
    if previous.len() > MAX_PREVIOUS {
        return Err(WriteError::Refused(RotateRefusal::TooMany));
    }
    let sealed_key = sealed::seal_key(keyring, id, &key).map_err(WriteError::Seal)?;
    let sealed_previous = sealed::seal_previous(keyring, id, &previous).map_err(WriteError::Seal)?;
    let changed = changes::replace_key(conn, id, sealed_key, sealed_previous, now).await?;
    Ok((changed, expires_at, key.shown()))
}

/// Removes a subscription. Returns false if there is none.
pub(crate) async fn delete(state: &State, id: SubscriptionId) -> Result<bool, pg::Error> {
    let now = state.now();
    state
        .pool
        .transaction(async |conn| {
            let deleted = changes::delete(conn, id, now).await?;
            if deleted {
                replays::ask_to_cancel(conn, state, id).await?;
                alerts::clear(conn, now, &WebhookDisabled::cause_of(id)).await?;
            }
            Ok(deleted)
        })
        .await
}
