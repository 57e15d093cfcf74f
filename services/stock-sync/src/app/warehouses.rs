//! Warehouses.

use std::time::Duration;

use domain::{Chain, backoff, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::domain::shortage::Shortage;
use crate::state::State;
use crate::store::warehouses;
pub(crate) use crate::store::warehouses::Warehouse;

/// Makes sure, once in this process, that the default warehouse is there and keeps the configured rule.
///
/// # Errors
/// The database's; a check violation when its levels are below zero and must not be.
pub(crate) async fn ensure_default(state: &State) -> Result<(), pg::Error> {
    let ensured = state.default_is_there.get_or_try_init(async || {
        let allows_negative = state.settings.shortage == Shortage::AllowNegative;
        let (name, now) = (&state.settings.default_warehouse, state.now());
        state.pool.transaction(async |conn| warehouses::ensure(conn, name, allows_negative, now).await).await
    });
    ensured.await?;
    Ok(())
}

/// Returns when the default warehouse is there, or at `stop`.
pub(crate) async fn until_default_is_there(state: &State, stop: &CancellationToken) {
    let mut failures = 0_u32;
    while let Err(error) = panic_as_error(ensure_default(state)).await {
        failures += 1;
        tracing::warn!(error = %Chain(&error), "the default warehouse cannot be made ready; nothing is taken from it yet");
        let pause = backoff::exponential(Duration::from_millis(200), failures, Duration::from_secs(10));
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

/// Why a warehouse is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none of this name.
    #[error("there is no such warehouse")]
    NotFound,
    /// There is one of this name.
    #[error("there is such a warehouse already")]
    Exists,
    /// Why it cannot do without.
    #[error("{0}")]
    InUse(&'static str),
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// What is to be different about a warehouse.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) is_active: Option<bool>,
    pub(crate) allows_negative: Option<bool>,
}

/// Every warehouse, by name.
pub(crate) async fn list(state: &State) -> Result<Vec<Warehouse>, pg::Error> {
    warehouses::list(&mut *state.pool.get().await?).await
}

/// Adds one.
pub(crate) async fn add(
    state: &State,
    conn: &mut pg::Connection,
    name: &str,
    allows_negative: bool,
) -> Result<Warehouse, Error> {
    warehouses::insert(conn, name, allows_negative, state.now()).await?.ok_or(Error::Exists)
}

/// Changes one. What sales are taken from cannot be put out of use, and the default one's rule is a setting.
pub(crate) async fn change(
    state: &State,
    conn: &mut pg::Connection,
    name: &str,
    wish: Wish,
) -> Result<Warehouse, Error> {
    let is_default = name == state.settings.default_warehouse;
    if is_default && (wish.is_active == Some(false) || wish.allows_negative.is_some()) {
        return Err(Error::InUse(
            "sales are taken from it by default: change STOCK_SYNC_DEFAULT_WAREHOUSE or STOCK_SYNC_SHORTAGE",
        ));
    }
    let found = warehouses::lock(conn, name).await?.ok_or(Error::NotFound)?;
    if wish.is_active == Some(false) && warehouses::is_sold_from(conn, name).await? {
        return Err(Error::InUse("an account sells from it"));
    }
    let is_active = wish.is_active.unwrap_or(found.is_active);
    let allows_negative = wish.allows_negative.unwrap_or(found.allows_negative);
    if allows_negative != found.allows_negative {
        warehouses::lock_levels(conn, name).await?;
    }
    let changed = warehouses::update(conn, name, is_active, allows_negative, state.now()).await;
    changed.map_err(|error| {
        if error.violates("stock_levels_not_negative") {
            Error::InUse("it has levels below zero: count them first")
        } else {
            error.into()
        }
    })
}

/// Removes one that was never used.
pub(crate) async fn remove(state: &State, conn: &mut pg::Connection, name: &str) -> Result<(), Error> {
    if name == state.settings.default_warehouse {
        return Err(Error::InUse("sales are taken from it by default"));
    }
    match warehouses::delete(conn, name).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::NotFound),
        Err(pg::Error::ForeignKeyViolation { .. }) => {
            Err(Error::InUse("things were in it, or an account sells from it: put it out of use instead"))
        }
        Err(error) => Err(error.into()),
    }
}
