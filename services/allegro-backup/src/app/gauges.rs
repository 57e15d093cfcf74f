//! What the service's state looks like from outside, as metrics.

use crate::state::State;
use crate::store::{cursors, failed, proof};

/// Measures it now.
///
/// # Errors
/// The database's.
pub(crate) async fn measure(state: &State) -> Result<(), pg::Error> {
    let mut conn = state.pool.get().await?;
    for (kind, seconds) in cursors::lags(&mut conn).await? {
        metrics::gauge!("sync_lag_seconds", "kind" => kind).set(seconds);
    }
    for (status, orders) in failed::depths(&mut conn).await? {
        metrics::gauge!("quarantine_orders", "status" => status).set(number(orders));
    }
    for (name, is_green) in [("true", true), ("false", false)] {
        let days = proof::counts(&mut conn, is_green).await?;
        metrics::gauge!("completeness_days", "green" => name).set(number(days));
    }
    Ok(())
}

/// Metrics are floating numbers; a count past 2^32 would be no use anyway.
fn number(count: i64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
