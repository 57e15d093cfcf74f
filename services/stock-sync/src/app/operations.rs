//! Operations as people see them, try them again and call them off.

use domain::{AllegroOrderId, TokenId};
use uuid::Uuid;

use super::after_commit::AfterCommit;
use super::ledger::{self, Action};
use crate::domain::book::Refusal;
use crate::state::State;
use crate::store::operations;
pub(crate) use crate::store::operations::{Filter, LogRow as LogEntry, Shown};

/// Why an operation is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    /// There is none, or it is another user's.
    #[error("there is no such operation")]
    NotFound,
    /// Its state does not allow it.
    #[error("the operation is {0}")]
    State(&'static str),
    /// What comes back cannot be called off.
    #[error("a refund cannot be called off")]
    Refund,
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// A page of operations, newest first, and how many there are in all.
pub(crate) async fn page(
    state: &State,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Shown>, i64), pg::Error> {
    operations::page(&mut *state.pool.get().await?, filter, limit, offset).await
}

/// An operation and what was done about it.
pub(crate) async fn find(state: &State, id: Uuid) -> Result<Option<(Shown, Vec<LogEntry>)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let Some(found) = operations::find(&mut conn, id).await? else { return Ok(None) };
    let logs = operations::logs(&mut conn, id).await?;
    Ok(Some((found, logs)))
}

/// The operations of an order, in the caller's transaction.
pub(crate) async fn of_order(
    conn: &mut pg::Connection,
    order_id: &AllegroOrderId,
    token_id: Option<TokenId>,
) -> Result<Vec<Shown>, pg::Error> {
    operations::of_order(conn, order_id.as_str(), token_id.map(TokenId::as_uuid)).await
}

/// Does something about an operation, in the caller's transaction; of another user's there is none. Returns what is to be
/// reported after the commit.
pub(crate) async fn act(
    state: &State,
    conn: &mut pg::Connection,
    id: Uuid,
    action: Action,
    may_see: impl Fn(Option<&str>) -> bool,
) -> Result<AfterCommit, ActionError> {
    let found = operations::find(conn, id).await?.filter(|it| may_see(it.user_id.as_deref()));
    let found = found.ok_or(ActionError::NotFound)?;
    let done =
        ledger::act(state, conn, found.order_id.into(), found.token_id.map(TokenId::from), (id, action))
            .await?;
    done.map_err(|refusal| match refusal {
        Refusal::Unknown => ActionError::NotFound,
        Refusal::State(status) => ActionError::State(status.word()),
        Refusal::Refund => ActionError::Refund,
    })
}
