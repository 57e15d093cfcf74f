//! Calls for an account, with an access token that is good.

use std::time::Duration;

use domain::{Chain, TokenId};
use pg::sealed::SealError;
use tasks::TaskError;

use super::refresh::refresh;
use crate::clients::allegro::{AllegroError, Bearer, Subject};
use crate::state::State;
pub(crate) use crate::store::tokens::TokenStoreError;
use crate::store::tokens::{self, Account};

/// A token is refreshed when it ends within this.
const EARLY: time::Duration = time::Duration::minutes(5);
/// How long to wait before looking again whether another worker has refreshed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long the caller of a request waits for tokens, another replica's refresh included. The lease of a dead replica lasts
/// longer, because a lease must outlast the request to Allegro (ADR 0111).
const CALLERS_WAIT: Duration = Duration::from_secs(10);

/// Why a call for an account did not happen, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The account was removed.
    #[error("the account was removed")]
    Removed,
    /// Only the owner can connect the account again.
    #[error("the account must be connected again by its owner")]
    NeedsReauthorization,
    /// A refresh took longer than [`CALLERS_WAIT`].
    #[error("the account's tokens are still being refreshed")]
    RefreshInProgress,
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
            CallError::RefreshInProgress => Self::Postpone { after: Duration::from_secs(5), reason },
            CallError::Store(TokenStoreError::Seal(error)) => error.into(),
            CallError::RefreshBroke => Self::Retry { after: Duration::from_mins(1), reason },
            CallError::Allegro(AllegroError::Paused(halt)) => Self::Postpone { after: halt.wait, reason },
            CallError::Allegro(AllegroError::Unavailable { retry_after, .. }) => {
                Self::Postpone { after: retry_after.unwrap_or(Duration::from_secs(5)), reason }
            }
            CallError::Allegro(_) => Self::Retry { after: Duration::from_secs(30), reason },
        }
    }
}

/// An access token and the generation it belongs to.
struct Access {
    bearer: Bearer,
    generation: i64,
}

/// Calls Allegro for an account: with a fresh token, and once more with a fresher one when Allegro does not accept
/// it. Waits for another worker's refresh without a limit.
///
/// # Errors
/// Why it failed at last.
pub(crate) async fn call<T, F, Fut>(state: &State, id: TokenId, operation: F) -> Result<T, CallError>
where
    F: Fn(Bearer) -> Fut,
    Fut: Future<Output = Result<T, AllegroError>>,
{
    call_with(state, id, None, operation).await
}

/// As [`call`], but waits for a refresh at most [`CALLERS_WAIT`].
///
/// # Errors
/// As [`call`], and [`CallError::RefreshInProgress`].
pub(crate) async fn call_in_request<T, F, Fut>(
    state: &State,
    id: TokenId,
    operation: F,
) -> Result<T, CallError>
where
    F: Fn(Bearer) -> Fut,
    Fut: Future<Output = Result<T, AllegroError>>,
{
    call_with(state, id, Some(CALLERS_WAIT), operation).await
}

async fn call_with<T, F, Fut>(
    state: &State,
    id: TokenId,
    wait: Option<Duration>,
    operation: F,
) -> Result<T, CallError>
where
    F: Fn(Bearer) -> Fut,
    Fut: Future<Output = Result<T, AllegroError>>,
{
    let access = current(state, id, None, wait).await?;
    match operation(access.bearer).await {
        Err(AllegroError::Unauthorized) => {
            let access = current(state, id, Some(access.generation), wait).await?;
            Ok(operation(access.bearer).await?)
        }
        outcome => Ok(outcome?),
    }
}

/// Refreshes the account's tokens now, even if they are still valid, or returns the tokens of a refresh that another worker
/// has begun. Returns within [`CALLERS_WAIT`]; a refresh that was begun here continues.
///
/// # Errors
/// Why there is no new pair.
pub(crate) async fn refresh_now(state: &State, account: &Account) -> Result<Account, CallError> {
    current(state, account.id(), Some(account.generation), Some(CALLERS_WAIT)).await?;
    usable(tokens::find(&mut *state.pool.get().await?, account.id()).await?)
}

/// The account's token, refreshed first when it ends soon, or when it is of the generation that was just refused.
async fn current(
    state: &State,
    id: TokenId,
    refused: Option<i64>,
    wait: Option<Duration>,
) -> Result<Access, CallError> {
    let found = until_current(state, id, refused);
    match wait {
        Some(wait) => tokio::time::timeout(wait, found).await.unwrap_or(Err(CallError::RefreshInProgress)),
        None => found.await,
    }
}

async fn until_current(state: &State, id: TokenId, refused: Option<i64>) -> Result<Access, CallError> {
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
            let bearer = Bearer { subject: Subject::Account(id), token };
            return Ok(Access { bearer, generation: account.generation });
        }
        if account.is_leased {
            tokio::time::sleep(LOOK_AGAIN).await;
        } else {
            refreshed = refresh(state, account).await?;
            if !refreshed {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

fn usable(account: Option<Account>) -> Result<Account, CallError> {
    match account {
        Some(account) if !account.is_active => Err(CallError::Removed),
        Some(account) if account.needs_reauthorization => Err(CallError::NeedsReauthorization),
        Some(account) => Ok(account),
        None => Err(CallError::Removed),
    }
}
