//! Measures what waits, for `/metrics`.

use std::time::Duration;

use domain::Chain;
use tokio_util::sync::CancellationToken;

use crate::state::State;
use crate::store::gauges;

const EVERY: Duration = Duration::from_secs(10);

/// Measures until `stop`.
pub(crate) async fn measure(state: State, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = once(&state).await {
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
    let backlog = gauges::backlog(&mut conn, state.now()).await?;
    let counts = [
        ("webhook_backlog_deliveries", backlog.open),
        ("webhook_backlog_endpoints", backlog.endpoints),
        ("webhook_backlog_largest", backlog.largest),
    ];
    for (name, count) in counts {
        metrics::gauge!(name).set(gauge(count));
    }
    metrics::gauge!("webhook_oldest_due_seconds").set(backlog.oldest_due_seconds);
    for circuit in gauges::circuits(&mut conn).await? {
        metrics::gauge!("webhook_subscriptions", "circuit" => circuit.state).set(gauge(circuit.count));
    }
    Ok(())
}

/// Numbers as large as the metrics' format tells apart.
fn gauge(count: i64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
