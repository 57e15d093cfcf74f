//! Starting a sync and looking at how it goes.

use domain::TaskId;
use tasks::Task;

use super::work::{FULL_SYNC, full_sync_task, queue};
use crate::state::State;
use crate::store::cursors::{self, Cursor};
use crate::store::tokens::{self, Account};

/// How an account's sync goes.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The account.
    pub(crate) account: Account,
    /// How far list and journal were read.
    pub(crate) cursor: Cursor,
    /// The latest reading of the list.
    pub(crate) task: Option<Task>,
}

/// Asks for the whole list to be read again; what is asked for already is not asked for twice.
///
/// # Errors
/// The database's.
pub(crate) async fn start(
    conn: &mut pg::Connection,
    state: &State,
    account: &Account,
    requested_by: &str,
    correlation_id: &str,
) -> Result<TaskId, pg::Error> {
    let whose = (account.id(), account.user_id.as_str());
    let task = full_sync_task(whose, Some(requested_by.to_owned()), Some(correlation_id));
    tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await
}

/// How the syncs of a user's accounts go.
///
/// # Errors
/// The database's.
pub(crate) async fn standing(state: &State, user_id: &str) -> Result<Vec<Standing>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let mut standings = Vec::new();
    for account in tokens::list(&mut conn, Some(user_id)).await? {
        let cursor = cursors::read(&mut conn, account.id()).await?;
        let task = tasks::latest_in_queue(&mut conn, &queue(account.id()), FULL_SYNC).await?;
        standings.push(Standing { account, cursor, task });
    }
    Ok(standings)
}
