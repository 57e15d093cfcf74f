//! Claims due deliveries that no process holds.

use std::time::Duration;

use domain::{Chain, backoff, panic_as_error};
use telemetry::TraceContext;
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, Job, LEASE_MARGIN_SECONDS};
use crate::state::State;
use crate::store::claims::{self, Claimed, Wanted};

/// The time between two scans without a nudge.
pub(crate) const POLL: Duration = Duration::from_millis(250);
/// The most rows in one claim, and of one subscription.
const BATCH: usize = 500;
const BATCH_OF_ONE: i32 = 250;
/// Deliveries claimed after the lease of an earlier claim had ended.
const TAKEN_OVER: &str = "webhook_leases_ended_total";

/// Scans until `stop`: every `poll`, and whenever [`Load`](super::Load) is nudged.
pub(crate) async fn scan(state: State, dispatcher: Dispatcher, poll: Duration, stop: CancellationToken) {
    let mut failures = 0_u32;
    metrics::counter!(TAKEN_OVER).increment(0);
    while !stop.is_cancelled() {
        let pause = match panic_as_error(take_up(&state, &dispatcher)).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => {
                failures = 0;
                poll
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "claim of due deliveries failed; will retry");
                backoff::exponential(poll, failures, Duration::from_secs(10))
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = state.load.eased() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Claims a set of each kind and dispatches it. Returns true when there may be more.
async fn take_up(state: &State, dispatcher: &Dispatcher) -> Result<bool, pg::Error> {
    let mut has_more = false;
    for is_in_order in [false, true] {
        if state.load.is_full() {
            return Ok(false);
        }
        let room = state.load.room();
        let limit = room.number.clamp(1, BATCH);
        let number = |of: usize| i32::try_from(of).unwrap_or(i32::MAX);
        let wanted = Wanted {
            rows: number(limit).into(),
            rows_of_one: BATCH_OF_ONE,
            rooms: room.of.iter().map(|(id, left)| (*id, number(*left))).collect(),
            bytes: i64::try_from(room.bytes).unwrap_or(i64::MAX),
            margin_seconds: LEASE_MARGIN_SECONDS,
        };
        let mut conn = state.pool.get_to_claim().await?;
        let claimed = claims::claim(&mut conn, &wanted, is_in_order, state.now()).await?;
        drop(conn);
        // As many as one subscription gets at once: it may have more, and a limited rate never gives so many twice.
        has_more |= claimed.len() >= limit.min(BATCH_OF_ONE.unsigned_abs().try_into().unwrap_or(BATCH));
        for row in claimed {
            match row {
                Ok(row) => hand_over(state, dispatcher, row, is_in_order),
                Err(error) => {
                    let error = Chain(&error);
                    tracing::error!(%error, "a claimed delivery cannot be read; it is claimed again when its lease ends");
                }
            }
        }
    }
    Ok(has_more)
}

fn hand_over(state: &State, dispatcher: &Dispatcher, row: Claimed, is_in_order: bool) {
    if row.is_taken_over {
        metrics::counter!(TAKEN_OVER).increment(1);
    }
    let slot = state.load.hold(row.subscription_id, row.body.len());
    dispatcher.hand_over(Job {
        delivery_id: row.id,
        subscription_id: row.subscription_id,
        message_id: row.message_id,
        trace: TraceContext::read(row.traceparent.as_deref(), row.tracestate.as_deref()),
        body: row.body.into(),
        attempts: row.attempts,
        attempts_before: row.attempts_before,
        claim: row.claim,
        is_in_order,
        leased_until: row.leased_until,
        run_started_at: row.run_started_at,
        accepted_at: row.accepted_at,
        slot,
    });
}
