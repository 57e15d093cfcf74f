//! Asking Allegro for one order again, because a person wants to see how it stands now.

use domain::{TaskId, TokenId};
use serde_json::json;
use tasks::{Run, TaskError};

use super::access::{CallError, call};
use super::upsert::{Answers, Source, store};
use super::work::refetch_task;
use crate::clients::allegro::AllegroError;
use crate::domain::order::Owner;
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
    let task = refetch_task(whose, order_id, Some(by.0.to_owned()), Some(by.1));
    tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await
}

/// Reads an order and stores what was answered. One that Allegro no longer has is told in the task's error: what
/// became of it is the journal's to find out.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn refetch(
    state: &State,
    run: &Run,
    owner: &Owner,
    order_id: &str,
) -> Result<(), TaskError> {
    let (allegro, asked_at) = (&state.allegro, state.now());
    let answered =
        call(state, owner.token_id, |token| async move { allegro.order(&token, order_id).await }).await;
    let raw = match answered {
        Ok(raw) => raw,
        Err(CallError::Allegro(AllegroError::NotFound)) => {
            return Err(TaskError::Fail("Allegro has no such order".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut answers = Answers::default();
    answers.read(&raw, asked_at);
    state
        .pool
        .transaction(async |conn| {
            let counts = store(state, conn, owner, &answers, Source::Event).await?;
            let result = json!({ "order_id": order_id, "updated": counts.added + counts.updated > 0 });
            run.finish(conn, &result).await
        })
        .await
}
