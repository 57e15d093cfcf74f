//! Looking at orders.

use domain::TokenId;
use serde_json::Value;

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
    let mut ids = tokens::ids_ever(&mut conn, user_id).await?;
    ids.retain(|id| token_id.is_none_or(|wanted| *id == wanted));
    order_list::list(&mut conn, &ids, filter, limit).await
}

/// One order with Allegro's whole answer.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    state: &State,
    user_id: &str,
    order_id: &str,
) -> Result<Option<(Listed, Value)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let ids = tokens::ids_ever(&mut conn, user_id).await?;
    order_list::find(&mut conn, &ids, order_id).await
}
