//! Asking Allegro for one order again, because a person wants to see how it stands now.

use domain::{TaskId, TokenId};
use tasks::NewTask;

use super::task_definitions::MissingOrders;
use crate::state::State;
use crate::store::tokens::{self, Account};

/// The account, when it is still connected.
///
/// # Errors
/// The database's.
pub(crate) async fn account(state: &State, token_id: TokenId) -> Result<Option<Account>, pg::Error> {
    let mut conn = state.pool.get().await?;
    Ok(tokens::find(&mut conn, token_id).await?.filter(|account| account.is_active))
}

/// Asks for an order to be read again, on its account's queue; `by` is who wants it, and in which request.
///
/// # Errors
/// The database's.
pub(crate) async fn start(
    conn: &mut pg::Connection,
    state: &State,
    account: &Account,
    order_id: &str,
    by: (&str, &str),
) -> Result<TaskId, pg::Error> {
    let whose = (account.id(), account.user_id.as_str());
    let task = NewTask {
        requested_by: Some(by.0.to_owned()),
        correlation_id: Some(by.1.to_owned()),
        ..MissingOrders::requested(whose, order_id)
    };
    tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await
}
