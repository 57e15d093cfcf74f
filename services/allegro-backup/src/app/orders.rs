//! Looking at orders.

use domain::TokenId;

use crate::state::State;
use crate::store::order_list;
pub(crate) use crate::store::order_list::{Filter, Listed};
use crate::store::tokens;

/// Orders of a user's accounts (or of one of them), newest first.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    state: &State,
    user_id: &str,
    token_id: Option<TokenId>,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Listed>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let ids = accounts(&mut conn, user_id, token_id).await?;
    order_list::list(&mut conn, &ids, filter, limit).await
}

/// One order of a user's accounts, or of one of them.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    state: &State,
    user_id: &str,
    token_id: Option<TokenId>,
    order_id: &str,
) -> Result<Option<Listed>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let ids = accounts(&mut conn, user_id, token_id).await?;
    order_list::find(&mut conn, &ids, order_id).await
}

/// Whose account it is, removed ones too; `None` when there is no such account.
///
/// # Errors
/// The database's.
pub(crate) async fn owner(state: &State, token_id: TokenId) -> Result<Option<String>, pg::Error> {
    let mut conn = state.pool.get().await?;
    Ok(tokens::find(&mut conn, token_id).await?.map(|account| account.user_id))
}

/// The user's accounts, removed ones too, or the one meant: none when it is not the user's.
pub(super) async fn accounts(
    conn: &mut pg::Connection,
    user_id: &str,
    token_id: Option<TokenId>,
) -> Result<Vec<TokenId>, pg::Error> {
    let mut ids = tokens::ids_ever(conn, user_id).await?;
    ids.retain(|id| token_id.is_none_or(|wanted| *id == wanted));
    Ok(ids)
}
