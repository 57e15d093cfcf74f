//! Measures what waits, for `/metrics`.

use std::time::Duration;

use domain::{Chain, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::state::State;
use crate::store::gauges;

const EVERY: Duration = Duration::from_secs(10);
/// The endpoints that most waits for, by place.
const RANKS: [&str; 10] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/// Measures until `stop`.
pub(crate) async fn measure(state: State, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = panic_as_error(once(&state)).await {
            tracing::warn!(error = %Chain(&error), "what waits could not be measured");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn once(state: &State) -> Result<(), pg::Error> {
    let mut conn = state.pool.get().await?;
    let backlog = gauges::backlog(&mut conn).await?;
    let circuits = gauges::circuits(&mut conn).await?;
    drop(conn);
    let open = backlog.iter().map(|it| it.open).sum();
    metrics::gauge!("webhook_backlog_deliveries").set(gauge(open));
    metrics::gauge!("webhook_backlog_endpoints").set(gauge(i64::try_from(backlog.len()).unwrap_or(i64::MAX)));
    let oldest = backlog.iter().map(|it| state.now() - it.due).max().unwrap_or_default();
    metrics::gauge!("webhook_oldest_due_seconds").set(oldest.as_seconds_f64().max(0.0));
    // Never an id, which would be remembered as a label for ever: the place says how what waits is spread.
    for (index, rank) in RANKS.iter().enumerate() {
        let open = backlog.get(index).map_or(0, |it| it.open);
        metrics::gauge!("webhook_backlog_by_rank", "rank" => *rank).set(gauge(open));
    }
    for circuit in circuits {
        metrics::gauge!("webhook_subscriptions", "circuit" => circuit.state).set(gauge(circuit.count));
    }
    Ok(())
}

/// Numbers as large as the metrics' format tells apart.
fn gauge(count: i64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
