//! Refreshing an account's tokens: one worker at a time, whoever dies in between, whatever answer is lost.
//!
//! Allegro's refresh tokens are used once, and for a minute after their first use they still give a pair. So the attempt
//! is written down before Allegro is asked; an answer that never came, and a worker that died, are followed at once by
//! another attempt with the same refresh token.

use std::time::Duration;

use domain::events::AccountReauthorizationNeeded;
use domain::{Chain, backoff};
use futures_util::{StreamExt, stream};
use pg::sealed::SealError;
use serde_json::json;
use tasks::{Progress, Run, TaskError, schedules};
use time::OffsetDateTime;

use super::access::CallError;
use super::task_definitions::queue;
use crate::clients::allegro::{AllegroError, Halt, Scope, TOKEN_REQUEST_TIME, TokenPair};
use crate::domain::alert::NeedsReauthorization;
use crate::state::State;
use crate::store::tokens::{self, Account, Attempt, Pair, TokenStoreError};

/// Longer than twice a request to Allegro, its wait for a place within the limit included; short enough that a refresh
/// whose worker died is tried again within the 60 s in which Allegro still takes the same refresh token.
const LEASE: Duration = Duration::from_secs(24);
const _: () = assert!(LEASE.as_millis() > 2 * TOKEN_REQUEST_TIME.as_millis());

/// Accounts refreshed at once.
const AT_ONCE: usize = 8;
/// Accounts looked up at once.
const BATCH: i64 = 200;

/// How refreshes ended, by `outcome`: `refreshed`, `superseded` (another's pair is stored), `refused` (the owner is
/// needed), `unanswered` (tried again at once), `failed` (not the token's fault).
const REFRESHES: &str = "allegro_token_refreshes_total";

/// Refreshes the pair of this generation; false when another worker is at it, or was faster. It goes on by itself:
/// whoever waits for it may be called off, a pair that was received must not.
///
/// # Errors
/// Why there is no new pair.
pub(crate) async fn refresh(state: &State, account: Account) -> Result<bool, CallError> {
    tokio::spawn(attempt(state.clone(), account)).await.map_err(|_panic| CallError::RefreshBroke)?
}

async fn attempt(state: State, account: Account) -> Result<bool, CallError> {
    let (id, generation) = (account.id(), account.generation);
    let refresh_token = account.refresh_token(&state.keyring)?;
    let attempt = state
        .pool
        .transaction(async |conn| {
            let locked = tokens::lock(conn, id).await?;
            if locked.is_none_or(|it| it.generation != generation || it.is_leased || !it.is_active) {
                return Ok(None);
            }
            tokens::take_lease(conn, (id, generation), LEASE).await.map(Some)
        })
        .await?;
    let Some(attempt) = attempt else { return Ok(false) };
    failpoint::hit("allegro.before_refresh");
    let outcome = state.allegro.refresh(id, &refresh_token).await;
    failpoint::hit("allegro.after_refresh");
    match outcome {
        Ok(pair) => {
            let pair = received(pair, state.now());
            let is_stored = store(&state, attempt, &pair).await?;
            count(if is_stored { "refreshed" } else { "superseded" });
            tracing::info!(token = %id, is_stored, "refreshed an account's tokens");
            Ok(is_stored)
        }
        Err(AllegroError::OAuth { code }) if code == "invalid_grant" || code == "invalid_token" => {
            give_up(&state, &account, &code).await?;
            count("refused");
            // The next look finds a newer pair, or says that the owner is needed.
            Ok(true)
        }
        Err(error) => {
            let is_unanswered =
                matches!(error, AllegroError::Unavailable { .. } | AllegroError::Malformed { .. });
            let mut conn = state.pool.get().await?;
            if is_unanswered {
                // Allegro may have given a new pair that never arrived.
                tokens::leave_unanswered(&mut conn, attempt).await?;
            } else {
                tokens::give_lease_back(&mut conn, attempt).await?;
            }
            count(if is_unanswered { "unanswered" } else { "failed" });
            Err(error.into())
        }
    }
}

/// Tries refreshes again whose worker died in the middle, or whose answer was lost, while Allegro still takes the same
/// refresh token.
///
/// # Errors
/// The database's.
pub(crate) async fn retry_interrupted(state: &State) -> Result<(), pg::Error> {
    let interrupted = tokens::interrupted(&mut *state.pool.get().await?).await?;
    stream::iter(interrupted)
        .for_each_concurrent(AT_ONCE, |account| async {
            let id = account.id();
            tracing::info!(token = %id, "a refresh was interrupted; trying it again");
            if let Err(error) = refresh(state, account).await {
                tracing::warn!(token = %id, error = %Chain(&error), "a refresh failed");
            }
        })
        .await;
    Ok(())
}

/// Refreshes every account whose access token ends within `margin`, so that no call has to wait for it. What fails for
/// one account does not keep the others.
///
/// # Errors
/// What the task runner shall do: a pause of everyone ends the round until it is over.
pub(crate) async fn refresh_due(state: &State, run: &Run) -> Result<(), TaskError> {
    let until = state.now() + state.refresh_margin;
    let (mut after, mut refreshed, mut failed) = (None, 0_i64, 0_i64);
    loop {
        run.check()?;
        let due = tokens::expiring(&mut *state.pool.get().await?, until, after, BATCH).await?;
        let Some(last) = due.last().map(Account::id) else { break };
        after = Some(last);
        let outcomes: Vec<_> = stream::iter(due)
            .map(|account| async {
                let id = account.id();
                (id, refresh(state, account).await)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (id, outcome) in outcomes {
            match outcome {
                Ok(true) => refreshed += 1,
                // Another worker is at it.
                Ok(false) => {}
                Err(
                    error @ CallError::Allegro(AllegroError::Paused(Halt { scope: Scope::Everyone, .. })),
                ) => {
                    return Err(error.into());
                }
                // The account is unchanged: the next round, or a worker that has the key, refreshes it. To postpone this
                // round would ask Allegro again at once for every account that failed.
                Err(CallError::Store(TokenStoreError::Seal(error @ SealError::UnknownKey(_)))) => {
                    tracing::warn!(token = %id, %error, "token refresh postponed: an encryption key is missing");
                }
                Err(error) => {
                    tracing::warn!(token = %id, error = %Chain(&error), "a refresh failed");
                    failed += 1;
                }
            }
        }
        let mut conn = state.pool.get().await?;
        let current = refreshed + failed;
        run.progress(&mut conn, &Progress { current, total: current, stage: "tokens".to_owned() }).await?;
    }
    let mut conn = state.pool.get().await?;
    run.finish(&mut conn, &json!({ "refreshed": refreshed, "failed": failed })).await
}

/// Stores a pair that exists nowhere else, however long the database is away; false when a newer one is stored.
async fn store(state: &State, attempt: Attempt, pair: &Pair) -> Result<bool, CallError> {
    let mut failures = 0;
    loop {
        let stored = async {
            let mut conn = state.pool.get().await?;
            tokens::store_refreshed(&mut conn, &state.keyring, attempt, pair, state.now()).await
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

/// Allegro no longer takes the refresh token: unless a newer pair came meanwhile, the owner is needed, and told. Until
/// then the account's schedules stand still.
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
            let paused = schedules::switch_queue_off(conn, &queue(id)).await?;
            tokens::remember_paused(conn, id, &paused).await?;
            messaging::outbox::push(conn, &[state.wrap(&event)?]).await
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

fn count(outcome: &'static str) {
    metrics::counter!(REFRESHES, "outcome" => outcome).increment(1);
}
