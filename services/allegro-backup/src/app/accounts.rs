//! Accounts: connected, looked at, named, checked, removed.

use domain::events::AccountConnected;
use domain::{AuthorizationId, TaskId, TokenId};
use tasks::{TaskRecord, schedules};
use time::OffsetDateTime;

use super::access::{self, CallError};
use super::following;
use super::task_definitions::{FullSync, queue};
use crate::domain::alert::NeedsReauthorization;
use crate::state::State;
use crate::store::authorizations;
pub(crate) use crate::store::authorizations::Authorization;
use crate::store::tokens::{self, Pair, TokenStoreError};
pub(crate) use crate::store::tokens::{Account, Identity};

/// Who wants an account connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The caller.
    pub(crate) requested_by: Option<&'a str>,
    /// The request.
    pub(crate) correlation_id: Option<&'a str>,
}

/// Stores an account with its pair, in the caller's transaction: with it the fact is told, an alert about it ends, and
/// its orders begin to be read.
///
/// # Errors
/// Our storage's.
pub(crate) async fn connect(
    conn: &mut pg::Connection,
    state: &State,
    identity: &Identity<'_>,
    pair: &Pair,
    asked: Asked<'_>,
) -> Result<Account, TokenStoreError> {
    let now = state.now();
    let account =
        tokens::connect(conn, &state.keyring, state.ids.next_id().into(), identity, pair, now).await?;
    let event = AccountConnected {
        token_id: account.id(),
        user_id: account.user_id.clone(),
        account_name: account.account_name.clone(),
        allegro_seller_id: account.allegro_seller_id.clone(),
        allegro_login: account.allegro_login.clone(),
        connected_at: account.connected_at,
        generation: account.generation,
    };
    let Asked { requested_by, correlation_id } = asked;
    messaging::outbox::push(conn, &[state.wrap_correlated(&event, correlation_id)?]).await?;
    alerts::clear(conn, now, &NeedsReauthorization::cause_of(account.id())).await?;
    let paused = tokens::take_paused(conn, account.id()).await?;
    schedules::switch_on(conn, &paused).await?;
    let sync =
        FullSync::whole((account.id(), &account.user_id), requested_by.map(str::to_owned), correlation_id);
    tasks::enqueue(conn, state.ids.next_id().into(), now, &sync).await?;
    Ok(account)
}

/// What becomes of an account.
#[derive(Debug)]
#[expect(clippy::option_option, reason = "absent, none and a name are three wishes")]
pub(crate) struct Change {
    /// Its name, or none.
    pub(crate) account_name: Option<Option<String>>,
    /// The seller's login and a new pair.
    pub(crate) brought: Option<(String, Pair)>,
}

/// Changes an account; with a new pair it is connected again, whatever became of it before.
///
/// # Errors
/// Our storage's.
pub(crate) async fn change(
    state: &State,
    account: &Account,
    change: Change,
    asked: Asked<'_>,
) -> Result<Account, TokenStoreError> {
    let Change { account_name, brought } = change;
    state
        .pool
        .transaction(async |conn| {
            if let Some((login, pair)) = &brought {
                let identity = Identity {
                    user_id: &account.user_id,
                    account_name: account_name.as_ref().and_then(Option::as_deref),
                    allegro_seller_id: &account.allegro_seller_id,
                    allegro_login: login,
                };
                connect(conn, state, &identity, pair, asked).await?;
            }
            if let Some(name) = &account_name {
                tokens::rename(conn, account.id(), name.as_deref()).await?;
            }
            let changed = tokens::find(conn, account.id()).await?;
            changed.ok_or_else(|| pg::Error::missing_row().into())
        })
        .await
}

/// How an account fares at Allegro.
#[derive(Debug)]
pub(crate) struct Validation {
    /// Allegro takes its token.
    pub(crate) is_valid: bool,
    /// It was refreshed for that.
    pub(crate) was_refreshed: bool,
    /// The account as it is now.
    pub(crate) account: Account,
}

/// Asks Allegro whether it takes the account's token, refreshing it when it must be; a new login is kept.
///
/// # Errors
/// When nobody can tell: Allegro or our storage is away, or the account was removed.
pub(crate) async fn validate(state: &State, account: &Account) -> Result<Validation, CallError> {
    let id = account.id();
    let allegro = &state.allegro;
    let asked = access::call_in_request(state, id, |bearer| async move { allegro.me(&bearer).await }).await;
    let mut conn = state.pool.get().await?;
    let is_valid = match asked {
        Ok(me) => {
            if me.login != account.allegro_login {
                tokens::set_login(&mut conn, id, &me.login).await?;
            }
            true
        }
        Err(CallError::NeedsReauthorization) => false,
        Err(error) => return Err(error),
    };
    let now = tokens::find(&mut conn, id).await?.ok_or(CallError::Removed)?;
    let was_refreshed = is_valid && now.generation > account.generation;
    Ok(Validation { is_valid, was_refreshed, account: now })
}

/// Follows an account's journal from now on, in the caller's transaction; unless it was removed meanwhile, or needs its
/// owner: then it begins when the account is connected again.
///
/// # Errors
/// The database's.
pub(crate) async fn begin_following(
    conn: &mut pg::Connection,
    state: &State,
    id: TokenId,
    first_run_at: OffsetDateTime,
) -> Result<(), pg::Error> {
    let locked = tokens::lock(conn, id).await?;
    let Some(account) = locked.filter(|it| it.is_active && !it.needs_reauthorization) else { return Ok(()) };
    following::begin(conn, &state.sync, (id, &account.user_id), first_run_at).await
}

/// Accounts of one user, or of everybody.
///
/// # Errors
/// The database's.
pub(crate) async fn list(state: &State, user_id: Option<&str>) -> Result<Vec<Account>, pg::Error> {
    tokens::list(&mut *state.pool.get().await?, user_id).await
}

/// One account, removed ones too.
///
/// # Errors
/// The database's.
pub(crate) async fn find(state: &State, id: TokenId) -> Result<Option<Account>, pg::Error> {
    tokens::find(&mut *state.pool.get().await?, id).await
}

/// An account as it is now, locked in the caller's transaction. Whoever changes its schedules locks it first.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(conn: &mut pg::Connection, id: TokenId) -> Result<Option<Account>, pg::Error> {
    tokens::lock(conn, id).await
}

/// Removes an account: it is not talked for any more, its orders stay.
///
/// # Errors
/// The database's.
pub(crate) async fn remove(state: &State, id: TokenId, by: &str) -> Result<(), pg::Error> {
    state
        .pool
        .transaction(async |conn| {
            tokens::deactivate(conn, id).await?;
            // First the tasks: one that is just ending may be about to begin the schedule.
            tasks::cancel_queue(conn, &queue(id), by).await?;
            schedules::remove_queue(conn, &queue(id)).await?;
            alerts::clear(conn, state.now(), &NeedsReauthorization::cause_of(id)).await?;
            Ok(())
        })
        .await
}

/// An authorization by its id, or by the device code of Allegro.
///
/// # Errors
/// The database's.
pub(crate) async fn authorization(state: &State, key: &str) -> Result<Option<Authorization>, pg::Error> {
    let mut conn = state.pool.get().await?;
    match key.parse::<AuthorizationId>() {
        Ok(id) => authorizations::find(&mut conn, id).await,
        Err(_not_our_id) => authorizations::find_by_device_code(&mut conn, key).await,
    }
}

/// The task that polls an authorization, with the authorization.
///
/// # Errors
/// The database's.
pub(crate) async fn authorization_task(
    state: &State,
    id: TaskId,
) -> Result<Option<(TaskRecord, Authorization)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let Some(task) = tasks::find(&mut conn, id).await? else { return Ok(None) };
    let named = task.payload.get("authorization_id").and_then(|id| id.as_str()?.parse().ok());
    let Some(authorization_id) = named else { return Ok(None) };
    let found = authorizations::find(&mut conn, authorization_id).await?;
    Ok(found.map(|authorization| (task, authorization)))
}
