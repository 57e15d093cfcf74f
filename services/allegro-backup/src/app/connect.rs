//! Connecting an account by device flow (RFC 8628).

use std::time::Duration;

use domain::{AuthorizationId, TaskId};
use secrecy::SecretString;
use serde_json::json;
use tasks::{Run, Task, TaskError};

use super::access::CallError;
use super::accounts::{self, Asked, Identity};
use super::refresh::received;
use super::task_definitions::{FullSync, PollAuthorization};
use crate::clients::allegro::{AllegroError, Bearer, DeviceCode, TOKEN_REQUEST_TIME};
use crate::state::State;
use crate::store::authorizations::{self, Authorization, NewAuthorization, Turn};
use crate::store::tokens::{self, TokenStoreError};

/// RFC 8628 §3.5: `slow_down` adds this to the interval.
const SLOWER: i32 = 5;
/// Seconds between two polls, at most, while Allegro does not answer.
const SLOWEST: i32 = 60;
/// A poll takes no longer than half of this.
const TURN: Duration = Duration::from_secs(24);
const _: () = assert!(TURN.as_millis() > 2 * TOKEN_REQUEST_TIME.as_millis());
/// How long to wait for another poller's answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const UNUSED: &str = "the code was not used in time";
const LOST: &str = "Allegro's answer with the tokens was lost on the way; begin again";

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
    let requested_by = Some(wish.requested_by.to_owned());
    let task = PollAuthorization::of(whose, first_poll, requested_by, Some(wish.correlation_id));
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

/// Polls once whether a person has decided; asked again after the interval. One poller at a time: the turn is written
/// down, so that a worker taken for dead and the one that follows it never ask side by side.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn poll(state: &State, run: &Run, id: AuthorizationId) -> Result<(), TaskError> {
    let (authorization, turn) =
        state.pool.transaction(async |conn| authorizations::take_turn(conn, id, TURN).await).await?;
    let Some(authorization) = authorization.filter(|it| it.status == "pending") else {
        return Err(TaskError::Fail("the authorization is not pending".to_owned()));
    };
    if let Some(pair) = authorization.pair(&state.keyring)? {
        return complete(state, run, &authorization, pair).await;
    }
    if turn == Turn::Anothers {
        let reason = "another worker is asking Allegro".to_owned();
        return Err(TaskError::Postpone { after: LOOK_AGAIN, reason });
    }
    if state.now() >= authorization.expires_at {
        return end(state, run, &authorization, "expired", UNUSED).await;
    }
    let device_code = match authorization.device_code(&state.keyring) {
        Ok(code) => code,
        Err(error) => {
            let is_answered = turn != Turn::AfterLost;
            let mut conn = state.pool.get().await?;
            authorizations::end_turn(&mut conn, id, authorization.poll_seconds, is_answered).await?;
            return Err(error.into());
        }
    };
    // On its own: whoever waits for it may be called off, a pair that was received must not.
    let asking = tokio::spawn(ask_once(state.clone(), id, device_code));
    let asked =
        asking.await.map_err(|broken| TaskError::Fail(format!("asking Allegro broke: {broken}")))??;
    let mut interval = authorization.poll_seconds;
    let mut is_answered = true;
    match asked {
        Ok(pair) => return complete(state, run, &authorization, pair).await,
        Err(AllegroError::OAuth { code }) => match code.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += SLOWER,
            "access_denied" => {
                return end(state, run, &authorization, "denied", "the account's owner refused").await;
            }
            "expired_token" => return end(state, run, &authorization, "expired", UNUSED).await,
            // Allegro says so of a wrong code and of one that was used: by the answer that was lost, if one was.
            "invalid_request" | "Invalid device code" if turn == Turn::AfterLost => {
                return end(state, run, &authorization, "failed", LOST).await;
            }
            other => return end(state, run, &authorization, "failed", other).await,
        },
        Err(AllegroError::Paused(halt)) => {
            authorizations::end_turn(&mut *state.pool.get().await?, id, interval, true).await?;
            return Err(TaskError::Postpone {
                after: halt.wait,
                reason: "Allegro's limit was met".to_owned(),
            });
        }
        Err(error @ (AllegroError::Unavailable { .. } | AllegroError::Malformed { .. })) => {
            // RFC 8628 §3.5: on a connection timeout the client must poll less often.
            tracing::warn!(%error, "Allegro does not answer the poll; asking again");
            interval = (interval + SLOWER).min(SLOWEST.max(interval));
            is_answered = false;
        }
        Err(error) => return end(state, run, &authorization, "failed", &error.to_string()).await,
    }
    authorizations::end_turn(&mut *state.pool.get().await?, id, interval, is_answered).await?;
    // A worker's place is not held while a person makes up their mind.
    let after = Duration::from_secs(interval.unsigned_abs().into());
    Err(TaskError::Postpone { after, reason: "the account's owner has not decided yet".to_owned() })
}

/// Asks Allegro once. A pair is kept before anything else is done with it: it exists nowhere else, and the code is used
/// up.
async fn ask_once(
    state: State,
    id: AuthorizationId,
    device_code: SecretString,
) -> Result<Result<tokens::Pair, AllegroError>, TaskError> {
    failpoint::hit("allegro.before_poll");
    let asked = state.allegro.poll_device_code(&device_code).await;
    failpoint::hit("allegro.after_poll");
    let pair = match asked {
        Ok(pair) => received(pair, state.now()),
        Err(error) => return Ok(Err(error)),
    };
    keep(&state, id, &pair).await?;
    Ok(Ok(pair))
}

/// Keeps a pair, however long the database is away.
async fn keep(state: &State, id: AuthorizationId, pair: &tokens::Pair) -> Result<(), TaskError> {
    loop {
        let kept = async {
            let mut conn = state.pool.get().await?;
            authorizations::keep_pair(&mut conn, &state.keyring, id, pair).await
        };
        match kept.await.map_err(storing) {
            Err(
                TaskError::Postpone { after, .. }
                | TaskError::Retry { after, .. }
                | TaskError::Collision { after, .. },
            ) => tokio::time::sleep(after).await,
            outcome => return outcome,
        }
    }
}

fn storing(error: TokenStoreError) -> TaskError {
    match error {
        TokenStoreError::Database(error) => error.into(),
        TokenStoreError::Seal(error) => error.into(),
    }
}

/// Stores the account: tokens, the fact, the first sync and the end of the task, all or nothing.
async fn complete(
    state: &State,
    run: &Run,
    authorization: &Authorization,
    pair: tokens::Pair,
) -> Result<(), TaskError> {
    let me = match state.allegro.me(&Bearer::unconnected(pair.access.clone())).await {
        Ok(me) => me,
        // The tokens died before the account was there: nothing is left to try.
        Err(AllegroError::Unauthorized) => {
            return end(state, run, authorization, "failed", "Allegro took its tokens back").await;
        }
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
            authorizations::complete(conn, authorization.id(), account.id()).await?;
            run.finish(conn, &json!({ "token_id": account.id(), "next": FullSync::KIND })).await
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
            if !authorizations::end(conn, authorization, status, reason).await? {
                let reason = "it has tokens by now".to_owned();
                return Err(TaskError::Postpone { after: LOOK_AGAIN, reason });
            }
            run.finish(conn, &json!({ "status": status, "reason": reason })).await
        })
        .await
}
