//! Accounts: from when on their sales count, and where they are taken from.

use domain::TokenId;
use time::OffsetDateTime;

use crate::domain::wish::Wish;
use crate::state::State;
pub(crate) use crate::store::accounts::AccountRow as Account;
use crate::store::{accounts, warehouses};

/// What is to be different about an account.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) stock_from: Option<OffsetDateTime>,
    /// Nothing is the default warehouse.
    pub(crate) warehouse: Wish<String>,
}

/// Why an account is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none, or it is another user's.
    #[error("there is no such account")]
    NotFound,
    /// There is none in use of this name.
    #[error("there is no such warehouse in use")]
    NoWarehouse,
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// The accounts of a user, or everybody's.
pub(crate) async fn list(state: &State, user_id: Option<&str>) -> Result<Vec<Account>, pg::Error> {
    accounts::list(&mut *state.pool.get().await?, user_id).await
}

/// Whose account it is; none when it is not known.
pub(crate) async fn owner(conn: &mut pg::Connection, token_id: TokenId) -> Result<Option<String>, pg::Error> {
    accounts::owner(conn, token_id).await
}

/// Changes one, in the caller's transaction. What was taken from the shelf before stays taken.
pub(crate) async fn change(
    state: &State,
    conn: &mut pg::Connection,
    token_id: TokenId,
    wish: Change,
    may_see: impl Fn(&str) -> bool,
) -> Result<Account, Error> {
    let found = accounts::lock(conn, token_id).await?.filter(|it| may_see(&it.user_id));
    let mut account = found.ok_or(Error::NotFound)?;
    if let Some(name) = wish.warehouse.wanted() {
        let warehouse = warehouses::hold(conn, name).await?.filter(|it| it.is_active);
        warehouse.ok_or(Error::NoWarehouse)?;
    }
    account.stock_from = wish.stock_from.unwrap_or(account.stock_from);
    account.warehouse = wish.warehouse.or(account.warehouse);
    accounts::save(conn, &account, state.now()).await?;
    Ok(account)
}
