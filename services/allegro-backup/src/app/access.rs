//! Access tokens: kept fresh by one worker at a time, whoever dies in between.

use std::time::Duration;

use domain::events::AccountReauthorizationNeeded;
use domain::{Chain, TokenId, backoff};
use pg::sealed::SealError;
use secrecy::SecretString;
use tasks::{TaskError, schedules};
use time::OffsetDateTime;

use super::work::follow_name;
use crate::clients::allegro::{AllegroError, REQUEST_TIMEOUT, TokenPair};
use crate::domain::alert::NeedsReauthorization;
use crate::state::State;
pub(crate) use crate::store::tokens::TokenStoreError;
use crate::store::tokens::{self, Account, Pair};

/// A token is refreshed when it ends within this.
const EARLY: time::Duration = time::Duration::minutes(5);
/// Longer than twice a request to Allegro; short enough that a refresh whose worker died is tried again within
/// the 60 s in which Allegro still takes the same refresh token.
const LEASE: Duration = Duration::from_secs(20);
/// How long to wait before looking again whether another worker has refreshed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const _: () = assert!(LEASE.as_secs() > 2 * REQUEST_TIMEOUT.as_secs());

/// Why a call for an account did not happen, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The account was removed.
    #[error("the account was removed")]
    Removed,
    /// Only the owner can connect the account again.
    #[error("the account must be connected again by its owner")]
    NeedsReauthorization,
    /// A refresh ended without a word.
    #[error("refreshing the tokens broke")]
    RefreshBroke,
    /// Allegro.
    #[error(transparent)]
    Allegro(#[from] AllegroError),
    /// Our own storage.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

impl From<pg::Error> for CallError {
    fn from(error: pg::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<SealError> for CallError {
    fn from(error: SealError) -> Self {
        Self::Store(error.into())
    }
}

impl From<CallError> for TaskError {
    fn from(error: CallError) -> Self {
        let reason = Chain(&error).to_string();
        match error {
            CallError::Store(TokenStoreError::Database(error)) => error.into(),
            CallError::Removed | CallError::NeedsReauthorization => Self::Fail(reason),
            // Another replica may have the key that this one lacks.
            CallError::RefreshBroke | CallError::Store(TokenStoreError::Seal(_)) => {
                Self::Retry { after: Duration::from_mins(1), reason }
            }
            CallError::Allegro(AllegroError::Paused(after)) => Self::Postpone { after, reason },
            CallError::Allegro(AllegroError::Unavailable { .. }) => {
                Self::Postpone { after: Duration::from_secs(5), reason }
            }
            CallError::Allegro(_) => Self::Retry { after: Duration::from_secs(30), reason },
        }
    }
}

/// An access token and the generation it belongs to.
struct Access {
    token: SecretString,
    generation: i64,
}

/// Calls Allegro for an account: with a fresh token, and once more with a fresher one when Allegro does not accept
/// it.
///
/// # Errors
/// Why it failed at last.
pub(crate) async fn call<T, F, Fut>(state: &State, id: TokenId, operation: F) -> Result<T, CallError>
where
    F: Fn(SecretString) -> Fut,
    Fut: Future<Output = Result<T, AllegroError>>,
{
    let access = current(state, id, None).await?;
    match operation(access.token).await {
        Err(AllegroError::Unauthorized) => {
            let access = current(state, id, Some(access.generation)).await?;
            Ok(operation(access.token).await?)
        }
        outcome => Ok(outcome?),
    }
}

/// Refreshes the account's tokens now, however long they would still live; who comes while another worker is at it has
/// that one's pair.
///
/// # Errors
/// Why there is no new pair.
pub(crate) async fn refresh_now(state: &State, account: &Account) -> Result<Account, CallError> {
    current(state, account.id(), Some(account.generation)).await?;
    usable(tokens::find(&mut *state.pool.get().await?, account.id()).await?)
}

/// The account's token, refreshed first when it ends soon, or when it is of the generation that was just refused.
async fn current(state: &State, id: TokenId, refused: Option<i64>) -> Result<Access, CallError> {
    let mut refreshed = false;
    loop {
        let now = state.now();
        let mut conn = state.pool.get().await?;
        let account = tokens::find(&mut conn, id).await?;
        drop(conn);
        let account = usable(account)?;
        // A pair just obtained is used however short it lives: asking again would give another like it.
        let is_fresh = account.expires_at - now > EARLY || refreshed;
        if is_fresh && refused != Some(account.generation) {
            let token = account.access_token(&state.keyring)?;
            return Ok(Access { token, generation: account.generation });
        }
        if account.is_leased {
            tokio::time::sleep(LOOK_AGAIN).await;
        } else {
            // On its own: whoever waits for it may be called off, a pair that was received must not.
            let refreshing = tokio::spawn(refresh(state.clone(), account));
            refreshed = refreshing.await.map_err(|_panic| CallError::RefreshBroke)??;
            if !refreshed {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// Tries refreshes again whose worker died in the middle, while Allegro still takes the same refresh token.
///
/// # Errors
/// The database's.
pub(crate) async fn retry_interrupted(state: &State) -> Result<(), pg::Error> {
    let interrupted = tokens::interrupted(&mut *state.pool.get().await?).await?;
    for account in interrupted {
        let id = account.id();
        tracing::info!(token = %id, "a refresh was interrupted; trying it again");
        if let Err(error) = refresh(state.clone(), account).await {
            tracing::warn!(token = %id, error = %Chain(&error), "a refresh failed");
        }
    }
    Ok(())
}

fn usable(account: Option<Account>) -> Result<Account, CallError> {
    match account {
        Some(account) if !account.is_active => Err(CallError::Removed),
        Some(account) if account.needs_reauthorization => Err(CallError::NeedsReauthorization),
        Some(account) => Ok(account),
        None => Err(CallError::Removed),
    }
}

/// Refreshes the pair of this generation; false when another worker is at it, or was faster.
async fn refresh(state: State, account: Account) -> Result<bool, CallError> {
    let (id, generation) = (account.id(), account.generation);
    let is_ours = state
        .pool
        .transaction(async |conn| {
            let locked = tokens::lock(conn, id).await?;
            let is_free = locked.is_some_and(|it| it.generation == generation && !it.is_leased);
            if is_free {
                tokens::take_lease(conn, id, LEASE).await?;
            }
            Ok::<_, pg::Error>(is_free)
        })
        .await?;
    if !is_ours {
        return Ok(false);
    }
    let refresh_token = account.refresh_token(&state.keyring)?;
    match state.allegro.refresh(&refresh_token).await {
        Ok(pair) => {
            let pair = received(pair, state.now());
            let is_stored = store(&state, (id, generation), &pair).await?;
            tracing::info!(token = %id, "refreshed an account's tokens");
            Ok(is_stored)
        }
        Err(AllegroError::OAuth { code }) if code == "invalid_grant" => {
            give_up(&state, &account, &code).await?;
            // The next look finds a newer pair, or says that the owner is needed.
            Ok(true)
        }
        // A rare, older way of saying the same.
        Err(AllegroError::Unauthorized) => {
            give_up(&state, &account, "invalid_token").await?;
            Ok(true)
        }
        Err(error) => {
            let mut conn = state.pool.get().await?;
            tokens::give_lease_back(&mut conn, id, generation).await?;
            Err(error.into())
        }
    }
}

/// Stores a pair that exists nowhere else, however long the database is away; false when a newer one is stored.
async fn store(state: &State, row: (TokenId, i64), pair: &Pair) -> Result<bool, CallError> {
    let mut failures = 0;
    loop {
        let stored = async {
            let mut conn = state.pool.get().await?;
            tokens::store_refreshed(&mut conn, &state.keyring, row, pair, state.now()).await
        };
        match stored.await {
            Ok(stored) => return Ok(stored),
            Err(TokenStoreError::Database(error)) => {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "new tokens wait to be stored");
                let pause =
                    backoff::exponential(Duration::from_millis(100), failures, Duration::from_secs(2));
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Allegro no longer takes the refresh token: unless a newer pair came meanwhile, the owner is needed, and told.
async fn give_up(state: &State, account: &Account, reason: &str) -> Result<(), pg::Error> {
    let (id, generation) = (account.id(), account.generation);
    state
        .pool
        .transaction(async |conn| {
            if !tokens::need_reauthorization(conn, (id, generation), reason).await? {
                return Ok(());
            }
            let event = AccountReauthorizationNeeded {
                token_id: id,
                user_id: account.user_id.clone(),
                allegro_seller_id: account.allegro_seller_id.clone(),
                reason: reason.to_owned(),
                since: state.now(),
                generation: generation + 1,
            };
            let name = account.account_name.as_deref().unwrap_or(&account.allegro_login);
            alerts::raise(conn, state.now(), &NeedsReauthorization { token_id: id, name, reason }).await?;
            tracing::warn!(token = %id, reason, "an account must be connected again by its owner");
            schedules::remove(conn, &follow_name(id)).await?;
            messaging::outbox::push(conn, &[state.wrap(&event, None)?]).await
        })
        .await
}

/// A pair as it is stored.
pub(crate) fn received(pair: TokenPair, now: OffsetDateTime) -> Pair {
    Pair {
        access: pair.access_token,
        refresh: pair.refresh_token,
        expires_at: now + Duration::from_secs(pair.expires_in.into()),
        scopes: pair.scope,
    }
}
