//! Looking at accounts and authorizations, and removing an account.

use domain::{AuthorizationId, TaskId, TokenId};
use tasks::{Task, schedules};

use super::work::{follow_name, queue};
use crate::domain::alert::NeedsReauthorization;
use crate::state::State;
use crate::store::authorizations;
pub(crate) use crate::store::authorizations::Authorization;
use crate::store::tokens;
pub(crate) use crate::store::tokens::Account;

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
            schedules::remove(conn, &follow_name(id)).await?;
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
) -> Result<Option<(Task, Authorization)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let Some(task) = tasks::find(&mut conn, id).await? else { return Ok(None) };
    let named = task.payload.get("authorization_id").and_then(|id| id.as_str()?.parse().ok());
    let Some(authorization_id) = named else { return Ok(None) };
    let found = authorizations::find(&mut conn, authorization_id).await?;
    Ok(found.map(|authorization| (task, authorization)))
}
