//! Making, changing and removing subscriptions.

use domain::SubscriptionId;
use pg::sealed::SealError;
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::signature::SigningKey;
use crate::state::State;
use crate::store::subscriptions;
pub(crate) use crate::store::subscriptions::{Settings, Subscription};

/// Why a subscription could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    #[error(transparent)]
    Database(#[from] pg::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Makes a subscription; its secret is returned here and never again.
pub(crate) async fn create(
    conn: &mut pg::Connection,
    state: &State,
    owner: Option<&str>,
    settings: &Settings,
    key: &SigningKey,
) -> Result<(Subscription, SecretString), SubscribeError> {
    let id = SubscriptionId::from(state.ids.next_id());
    let sealed = subscriptions::seal(&state.keyring, id, key)?;
    let made = subscriptions::insert(conn, id, owner, settings, sealed, state.now()).await?;
    Ok((made, key.shown()))
}

pub(crate) async fn find(state: &State, id: SubscriptionId) -> Result<Option<Subscription>, pg::Error> {
    subscriptions::find(&mut *state.pool.get().await?, id).await
}

pub(crate) async fn list(
    state: &State,
    owner: Option<&str>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Subscription>, pg::Error> {
    subscriptions::list(&mut *state.pool.get().await?, owner, after, limit).await
}

/// Changes a subscription under its row's lock, so that two changes of different settings both happen. None when it
/// was removed meanwhile.
pub(crate) async fn change(
    state: &State,
    id: SubscriptionId,
    edit: impl FnOnce(Settings) -> Settings + Clone + Send,
) -> Result<Option<Subscription>, pg::Error> {
    let now = state.now();
    state
        .pool
        .transaction(async |conn| {
            let Some(current) = subscriptions::lock(conn, id).await? else { return Ok(None) };
            subscriptions::update(conn, id, &edit(current.settings()), now).await
        })
        .await
}

/// Removes a subscription; false when it is not there.
pub(crate) async fn delete(state: &State, id: SubscriptionId) -> Result<bool, pg::Error> {
    let now = state.now();
    state.pool.transaction(async |conn| subscriptions::delete(conn, id, now).await).await
}
