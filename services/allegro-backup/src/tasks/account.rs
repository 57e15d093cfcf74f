//! What all tasks of one account share.

use domain::TokenId;
use tasks::{Outcome, Task, TaskContext, TaskError};

use crate::app::history::{self, Kind};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::tokens;

/// The account of a task. The task of a removed account fails.
pub(super) async fn owner(state: &State, token_id: TokenId) -> Result<Owner, TaskError> {
    let mut conn = state.pool.get().await?;
    let account = tokens::find(&mut conn, token_id).await?.filter(|account| account.is_active);
    let account = account.ok_or_else(|| TaskError::Fail("the account was removed".to_owned()))?;
    Ok(Owner {
        token_id,
        user_id: account.user_id,
        allegro_seller_id: account.allegro_seller_id,
        connected_at: account.connected_at,
    })
}

/// Counts how the attempt of a `T` ended, and records a permanent failure in the sync history as one of this kind, if any.
pub(super) async fn conclude<T: Task>(
    context: &TaskContext<'_, State>,
    owner: &Owner,
    recorded: Option<Kind>,
    ended: Result<(), TaskError>,
) -> Result<Outcome, TaskError> {
    let status = match &ended {
        Ok(()) => Some("completed"),
        Err(TaskError::Fail(reason)) => {
            if let Some(kind) = recorded {
                history::fail(context.state, (context.run, owner), kind, reason).await?;
            }
            Some("failed")
        }
        Err(
            TaskError::Retry { .. }
            | TaskError::Postpone { .. }
            | TaskError::Collision { .. }
            | TaskError::Lost,
        ) => None,
    };
    if let Some(status) = status {
        metrics::counter!("sync_runs_total", "kind" => T::KIND, "status" => status).increment(1);
    }
    ended.map(|()| Outcome::Finished)
}
