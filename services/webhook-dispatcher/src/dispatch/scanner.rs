//! Takes up what is due and in nobody's hands.

use std::time::Duration;

use domain::{Chain, backoff};
use telemetry::TraceContext;
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, Job, LEASE_MARGIN_SECONDS};
use crate::state::State;
use crate::store::claims;

const POLL: Duration = Duration::from_millis(250);
/// Rows in one claim, at most.
// A subscription that is not saturated has at least this many places.
const BATCH: usize = 500;

/// Scans until `stop`.
pub(crate) async fn scan(state: State, dispatcher: Dispatcher, stop: CancellationToken) {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let pause = match take_up(&state, &dispatcher).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => {
                failures = 0;
                POLL
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "looking for due deliveries failed");
                backoff::exponential(POLL, failures, Duration::from_secs(10))
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = dispatcher.load().eased() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Claims a set and hands it over; true when there may be more.
async fn take_up(state: &State, dispatcher: &Dispatcher) -> Result<bool, pg::Error> {
    let (room, saturated) = dispatcher.load().room();
    let limit = room.clamp(1, BATCH);
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut conn = state.pool.get().await?;
    let claimed = claims::claim(&mut conn, &saturated, wanted, LEASE_MARGIN_SECONDS, state.now()).await?;
    drop(conn);
    let is_full = claimed.len() == limit;
    for row in claimed {
        // Without a place the lease ends by itself: half of a subscription's places were free a moment ago.
        let Some(slot) = dispatcher.load().take(row.subscription_id) else { continue };
        dispatcher.hand_over(Job {
            delivery_id: row.id,
            subscription_id: row.subscription_id,
            message_id: row.message_id,
            trace: TraceContext::read(row.traceparent.as_deref(), row.tracestate.as_deref()),
            body: row.body.into(),
            attempts: row.attempts,
            attempts_before: row.attempts_before,
            claim: row.claim,
            leased_until: row.next_attempt_at,
            slot,
        });
    }
    Ok(is_full)
}
