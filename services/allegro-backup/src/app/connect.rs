//! Connecting an account by device flow (RFC 8628).

use std::time::Duration;

use domain::{AuthorizationId, TaskId};
use pg::sealed::SealError;
use serde_json::json;
use tasks::{Run, TaskError};

use super::access::{CallError, received};
use super::accounts::{self, Asked, Identity};
use super::work::{FULL_SYNC, poll_task};
use crate::clients::allegro::{AllegroError, DeviceCode};
use crate::state::State;
use crate::store::authorizations::{self, Authorization, NewAuthorization};
use crate::store::tokens::{self, TokenStoreError};

/// RFC 8628 §3.5: `slow_down` adds this to the interval.
const SLOWER: i32 = 5;

/// Who connects an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// Whose it will be.
    pub(crate) user_id: &'a str,
    /// How they call it.
    pub(crate) account_name: Option<&'a str>,
    /// The caller.
    pub(crate) requested_by: &'a str,
    /// The request.
    pub(crate) correlation_id: &'a str,
}

/// What the person who connects an account needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// The authorization.
    pub(crate) id: AuthorizationId,
    /// The task that polls.
    pub(crate) task_id: TaskId,
    /// What to type.
    pub(crate) user_code: String,
    /// Where.
    pub(crate) verification_uri: String,
    /// The same with the code filled in.
    pub(crate) verification_uri_complete: String,
    /// Seconds the code lives.
    pub(crate) expires_in: u32,
    /// Seconds between two polls.
    pub(crate) interval: u32,
}

/// Asks Allegro for a device code. Nothing is waited for inside a transaction, so this comes before [`begin`].
///
/// # Errors
/// Allegro's. A code that was given and not written down is of no use to anybody and ends by itself.
pub(crate) async fn ask(state: &State) -> Result<DeviceCode, CallError> {
    Ok(state.allegro.begin_device_flow().await?)
}

/// Begins a device flow, in the caller's transaction: the authorization and the task that polls it are written down
/// together.
///
/// # Errors
/// Our storage's.
pub(crate) async fn begin(
    conn: &mut pg::Connection,
    state: &State,
    wish: &Wish<'_>,
    code: DeviceCode,
) -> Result<Begun, CallError> {
    let now = state.now();
    let (id, task_id) = (AuthorizationId::from(state.ids.next_id()), TaskId::from(state.ids.next_id()));
    let first_poll = now + Duration::from_secs(code.interval.into());
    let whose = (id, wish.user_id);
    let task = poll_task(whose, first_poll, Some(wish.requested_by.to_owned()), Some(wish.correlation_id));
    let new = NewAuthorization {
        id,
        user_id: wish.user_id,
        account_name: wish.account_name,
        device_code: &code.device_code,
        user_code: &code.user_code,
        verification_uri: &code.verification_uri,
        verification_uri_complete: &code.verification_uri_complete,
        poll_seconds: i32::try_from(code.interval).unwrap_or(SLOWER).max(1),
        expires_at: now + Duration::from_secs(code.expires_in.into()),
        task_id,
    };
    authorizations::insert(conn, &state.keyring, &new, now).await?;
    tasks::enqueue(conn, task_id, now, &task).await?;
    Ok(Begun {
        id,
        task_id,
        user_code: code.user_code,
        verification_uri: code.verification_uri,
        verification_uri_complete: code.verification_uri_complete,
        expires_in: code.expires_in,
        interval: code.interval,
    })
}

/// Polls once whether a person has decided; asked again after the interval. The one poller of the code: its task's
/// queue is its own.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn poll(state: &State, run: &Run, id: AuthorizationId) -> Result<(), TaskError> {
    let mut conn = state.pool.get().await?;
    let found = authorizations::find(&mut conn, id).await?;
    drop(conn);
    let Some(authorization) = found.filter(|it| it.status == "pending") else {
        return Err(TaskError::Fail("the authorization is not pending".to_owned()));
    };
    let sealed = |error: SealError| TaskError::Fail(error.to_string());
    if let Some(pair) = authorization.pair(&state.keyring).map_err(sealed)? {
        return complete(state, run, &authorization, pair).await;
    }
    let device_code = authorization.device_code(&state.keyring).map_err(sealed)?;
    if state.now() >= authorization.expires_at {
        return end(state, run, &authorization, "expired", "the code was not used in time").await;
    }
    let mut interval = authorization.poll_seconds;
    match state.allegro.poll_device_code(&device_code).await {
        Ok(pair) => {
            let pair = received(pair, state.now());
            keep(state, id, &pair).await?;
            return complete(state, run, &authorization, pair).await;
        }
        Err(AllegroError::OAuth { code }) => match code.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += SLOWER,
            "access_denied" => {
                return end(state, run, &authorization, "denied", "the account's owner refused").await;
            }
            "expired_token" => {
                return end(state, run, &authorization, "expired", "the code was not used in time").await;
            }
            other => return end(state, run, &authorization, "failed", other).await,
        },
        Err(AllegroError::Paused(after)) => {
            return Err(TaskError::Postpone { after, reason: "Allegro's limit was met".to_owned() });
        }
        Err(AllegroError::Unavailable { text, .. }) => {
            // RFC 8628 §3.5: on a connection timeout the client must poll less often.
            tracing::warn!(text, "Allegro does not answer the poll; asking again");
            interval += SLOWER;
        }
        Err(error) => return end(state, run, &authorization, "failed", &error.to_string()).await,
    }
    if interval != authorization.poll_seconds {
        authorizations::slow_down(&mut *state.pool.get().await?, id, interval).await?;
    }
    // A worker's place is not held while a person makes up their mind.
    let after = Duration::from_secs(interval.unsigned_abs().into());
    Err(TaskError::Postpone { after, reason: "the account's owner has not decided yet".to_owned() })
}

/// Keeps the tokens before anything else is done with them: they exist nowhere else, and the code is used up.
async fn keep(state: &State, id: AuthorizationId, pair: &tokens::Pair) -> Result<(), TaskError> {
    loop {
        let kept = async {
            let mut conn = state.pool.get().await?;
            authorizations::keep_pair(&mut conn, &state.keyring, id, pair).await
        };
        match kept.await.map_err(storing) {
            Err(TaskError::Postpone { after, .. } | TaskError::Retry { after, .. }) => {
                tokio::time::sleep(after).await;
            }
            outcome => return outcome,
        }
    }
}

fn storing(error: TokenStoreError) -> TaskError {
    match error {
        TokenStoreError::Database(error) => error.into(),
        TokenStoreError::Seal(error) => TaskError::Fail(error.to_string()),
    }
}

/// Stores the account: tokens, the fact, the first sync and the end of the task, all or nothing.
async fn complete(
    state: &State,
    run: &Run,
    authorization: &Authorization,
    pair: tokens::Pair,
) -> Result<(), TaskError> {
    let me = match state.allegro.me(&pair.access).await {
        Ok(me) => me,
        Err(error) if error.is_systemic() => return Err(CallError::from(error).into()),
        Err(error) => return end(state, run, authorization, "failed", &error.to_string()).await,
    };
    let identity = Identity {
        user_id: &authorization.user_id,
        account_name: authorization.account_name.as_deref(),
        allegro_seller_id: &me.id,
        allegro_login: &me.login,
    };
    state
        .pool
        .transaction(async |conn| {
            let asked = Asked {
                requested_by: run.task().requested_by.as_deref(),
                correlation_id: run.task().correlation_id.as_deref(),
            };
            let account = accounts::connect(conn, state, &identity, &pair, asked).await.map_err(storing)?;
            authorizations::end(conn, authorization.id(), "completed", None, Some(account.id())).await?;
            run.finish(conn, &json!({ "token_id": account.id(), "next": FULL_SYNC })).await
        })
        .await
}

async fn end(
    state: &State,
    run: &Run,
    authorization: &Authorization,
    status: &str,
    reason: &str,
) -> Result<(), TaskError> {
    state
        .pool
        .transaction(async |conn| {
            authorizations::end(conn, authorization.id(), status, Some(reason), None).await?;
            run.finish(conn, &json!({ "status": status, "reason": reason })).await
        })
        .await
}
