//! Operations as people see them, try them again and call them off.

use domain::{AllegroOrderId, Chain, TokenId};
use uuid::Uuid;

use super::after_commit::AfterCommit;
use super::ledger::{self, Action};
use crate::domain::book::Refusal;
use crate::domain::order_view::OrderView;
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

/// An operation's order as it is at allegro-backup now; none when it cannot be read there, or has no account.
///
/// # Errors
/// The database's.
pub(crate) async fn read_order(state: &State, id: Uuid) -> Result<Option<OrderView>, ActionError> {
    let found = operations::find(&mut *state.pool.get().await?, id).await?;
    let account = found.as_ref().and_then(|it| Some((it.user_id.as_deref()?, TokenId::from(it.token_id?))));
    let (Some(operation), Some(account)) = (&found, account) else { return Ok(None) };
    let order_id = AllegroOrderId::from(operation.order_id.clone());
    match state.backup.order(account, &order_id).await {
        Ok(order) => Ok(Some(OrderView::of_stored(&order, account)).filter(|view| view.check().is_ok())),
        Err(error) => {
            tracing::warn!(order = order_id.as_str(), error = %Chain(&error), "order not read before a retry");
            Ok(None)
        }
    }
}

/// Does something about an operation, in the caller's transaction; of another user's there is none. `seen` is its order as
/// [`read_order`] read it. Returns what is to be reported after the commit.
pub(crate) async fn act(
    state: &State,
    conn: &mut pg::Connection,
    (id, action): (Uuid, Action),
    seen: Option<&OrderView>,
    may_see: impl Fn(Option<&str>) -> bool,
) -> Result<AfterCommit, ActionError> {
    let found = operations::find(conn, id).await?.filter(|it| may_see(it.user_id.as_deref()));
    let found = found.ok_or(ActionError::NotFound)?;
    let done = ledger::act(state, conn, found.order_id.into(), seen, (id, action)).await?;
    done.map_err(|refusal| match refusal {
        Refusal::Unknown => ActionError::NotFound,
        Refusal::State(status) => ActionError::State(status.word()),
        Refusal::Refund => ActionError::Refund,
    })
}
