//! Technical flags of orders.

use domain::TokenId;

use crate::state::State;
use crate::store::order_flags;
pub(crate) use crate::store::order_flags::Flags;

/// The flags of an order, when it is there.
///
/// # Errors
/// The database's.
pub(crate) async fn read(
    state: &State,
    token_id: TokenId,
    order_id: &str,
) -> Result<Option<Flags>, pg::Error> {
    let mut conn = state.pool.get().await?;
    order_flags::read(&mut conn, (token_id, order_id)).await
}

/// Notes whether the order's pieces have left the stock, and returns what stands then.
///
/// # Errors
/// The database's.
pub(crate) async fn set_stock(
    state: &State,
    token_id: TokenId,
    order_id: &str,
    is_updated: bool,
) -> Result<Option<Flags>, pg::Error> {
    let mut conn = state.pool.get().await?;
    order_flags::set_stock(&mut conn, (token_id, order_id), is_updated, state.now()).await
}

/// Notes whether an invoice was made, and returns what stands then.
///
/// # Errors
/// The database's.
pub(crate) async fn set_invoice(
    state: &State,
    token_id: TokenId,
    order_id: &str,
    is_created: bool,
    invoice_id: Option<&str>,
) -> Result<Option<Flags>, pg::Error> {
    let mut conn = state.pool.get().await?;
    order_flags::set_invoice(&mut conn, (token_id, order_id), is_created, invoice_id).await
}
