//! The quarantine as people see it: its orders, and an alert for each account that has some.

use crate::domain::alert::OrdersQuarantined;
use crate::state::State;
use crate::store::quarantine;
pub(crate) use crate::store::quarantine::{Quarantined, Scope};

/// The quarantined orders of a user, the latest first.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    state: &State,
    scope: Scope<'_>,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Quarantined>, pg::Error> {
    quarantine::list(&mut *state.pool.get().await?, scope, after, limit).await
}

/// A quarantined order with its document.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    state: &State,
    scope: Scope<'_>,
    order_id: &str,
) -> Result<Option<(Quarantined, Option<String>)>, pg::Error> {
    quarantine::find(&mut *state.pool.get().await?, scope, order_id).await
}

/// Raises an alert for each account with quarantined orders, and clears those of other accounts.
///
/// # Errors
/// The database's.
pub(crate) async fn announce(state: &State) -> Result<(), pg::Error> {
    let now = state.now();
    let announce = async |conn: &mut pg::Connection| {
        let depths = quarantine::depths(conn).await?;
        let mut empty = Vec::new();
        for depth in &depths {
            let alert =
                OrdersQuarantined { token_id: depth.token_id, name: &depth.name, orders: depth.orders };
            if depth.orders == 0 {
                empty.push(alerts::Alert::cause(&alert));
            } else {
                alerts::raise(conn, now, &alert).await?;
            }
        }
        let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
        alerts::clear_all(conn, now, &empty).await?;
        Ok::<_, pg::Error>(())
    };
    state.pool.transaction(announce).await
}
