//! Writing down how telling went.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use clients::Error;
use domain::events::{Envelope, StockOperationCompleted, StockOperationFailed};
use domain::{Chain, backoff, panic_as_error};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::alert::Notice;
use crate::domain::book::Log;
use crate::domain::operation::{Operation, Status};
use crate::state::State;
use crate::store::book;
use crate::store::marks::{self, Claimed, Told};

/// Orders written down at once, at most.
const BATCH: usize = 500;
/// Retries of a batch that fails although the database is available.
const BATCH_RETRIES: u32 = 5;
/// When an order is tried again that found allegro-backup away.
const AWAY: Duration = Duration::from_secs(1);

/// An order that was told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) order: Claimed,
    pub(super) told: Result<(), Error>,
    pub(super) took: Duration,
}

/// Writes outcomes down until nobody tells any more. What came in while the transaction before was under way goes into
/// the next one.
pub(super) async fn write_down(state: State, mut outcomes: mpsc::Receiver<Ended>) {
    let mut batch = Vec::new();
    while outcomes.recv_many(&mut batch, BATCH).await > 0 {
        if record(&state, &batch, BATCH_RETRIES).await.is_err() {
            // At least one outcome is at fault: each is recorded alone. Retries of each would outlast the leases of all.
            for ended in &batch {
                if let Err(error) = record(&state, slice::from_ref(ended), 0).await {
                    let order = ended.order.order_id.as_str();
                    tracing::error!(error = %Chain(&error), order, "flag outcome not recorded; the order will be flagged again");
                }
            }
        }
        batch.clear();
    }
}

/// Records outcomes. Retries while the database is unavailable, and `retries` times after any other error.
///
/// # Errors
/// The last error. A permanent error is returned at once.
async fn record(state: &State, batch: &[Ended], retries: u32) -> Result<(), pg::Error> {
    let mut failures = 0_u32;
    while let Err(error) = panic_as_error(write(state, batch)).await {
        failures += 1;
        tracing::warn!(error = %Chain(&error), "flag outcomes not recorded; will retry");
        if error.is_permanent() || (!error.is_unavailable() && failures > retries) {
            return Err(error);
        }
        let pause = backoff::exponential(Duration::from_millis(100), failures, Duration::from_secs(5));
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn write(state: &State, batch: &[Ended]) -> Result<(), pg::Error> {
    failpoint::hit("stock.record_marks");
    let now = state.now();
    let by_order: Vec<Vec<Told>> = batch.iter().map(|ended| told(state, ended, now)).collect();
    let delays: Vec<Duration> =
        batch.iter().zip(&by_order).filter_map(|(ended, told)| retry_delay(ended, told, now)).collect();
    let told: Vec<Told> = by_order.into_iter().flatten().collect();
    let took = batch.iter().flat_map(|ended| ended.order.operations.iter().map(move |id| (*id, ended)));
    let by_id: HashMap<Uuid, &Ended> = took.collect();
    let orders: Vec<&str> = batch.iter().map(|ended| ended.order.order_id.as_str()).collect();
    let is_released = state
        .pool
        .transaction(async |conn| {
            marks::lock(conn, &orders).await?;
            let operations = marks::record(conn, &told, now).await?;
            // Called off while it was told: the opposite waits for this question to end, and it has.
            let is_dropped = |ended: &&Ended| {
                ended.order.operations.iter().any(|id| operations.iter().all(|it| it.id != *id))
            };
            let dropped: Vec<&str> =
                batch.iter().filter(is_dropped).map(|it| it.order.order_id.as_str()).collect();
            marks::release(conn, &dropped, now).await?;
            let logs: Vec<Log> =
                operations.iter().flat_map(|it| logs(it, by_id.get(&it.id).copied())).collect();
            book::logs(conn, &logs, now).await?;
            let facts: Result<Vec<Option<Envelope>>, pg::Error> =
                operations.iter().map(|operation| fact(state, operation)).collect();
            let facts: Vec<Envelope> = facts?.into_iter().flatten().collect();
            messaging::outbox::push(conn, &facts).await?;
            if state.settings.watch.tell_failed {
                let failed = operations.iter().filter(|it| it.status == Status::Failed);
                for operation in failed {
                    alerts::raise(conn, now, &Notice::given_up(&operation.fact())).await?;
                }
            }
            Ok::<_, pg::Error>(!dropped.is_empty())
        })
        .await?;
    if is_released {
        state.to_mark.notify_one();
    }
    count(batch);
    for delay in delays {
        metrics::histogram!("stock_retry_delay_seconds").record(delay.as_secs_f64());
    }
    Ok(())
}

/// The time until an order that failed is flagged again; none when it is not, or when it did not fail itself.
fn retry_delay(ended: &Ended, told: &[Told], now: OffsetDateTime) -> Option<Duration> {
    match ended.told {
        Ok(()) | Err(Error::Unavailable { .. } | Error::Refused { .. }) => None,
        Err(Error::Failed { .. } | Error::Panicked(_)) => {
            (told.first()?.next_retry_at? - now).try_into().ok()
        }
    }
}

/// Tells how a pass went.
fn count(batch: &[Ended]) {
    let (mut succeeded, mut failed, mut given_up) = (0_u64, 0_u64, 0_u64);
    for Ended { order, told, took } in batch {
        let is_last = order.retry_count.saturating_add(1) >= order.max_retries;
        let outcome = match told {
            Ok(()) => "success",
            Err(Error::Unavailable { .. }) => "away",
            Err(Error::Refused { .. }) => "refused",
            Err(Error::Failed { .. } | Error::Panicked(_)) if is_last => "max_retries",
            Err(Error::Failed { .. } | Error::Panicked(_)) => "failed",
        };
        match outcome {
            "success" => succeeded += 1,
            "max_retries" => given_up += 1,
            _ => failed += 1,
        }
        let is_first = if order.retry_count == 0 { "true" } else { "false" };
        metrics::counter!("stock_marks_total", "outcome" => outcome, "first_try" => is_first).increment(1);
        metrics::histogram!("stock_mark_duration_seconds").record(took.as_secs_f64());
    }
    tracing::info!(
        processed = batch.len(),
        succeeded,
        failed,
        max_retries_reached = given_up,
        "orders were marked"
    );
}

/// What becomes of an order's operations.
fn told(state: &State, ended: &Ended, now: OffsetDateTime) -> Vec<Told> {
    let Ended { order, told, .. } = ended;
    let error_message = told.as_ref().err().map(ToString::to_string);
    let (status, retry_count, next_retry_at) = match told {
        Ok(()) => (Status::Completed, order.retry_count, None),
        Err(Error::Unavailable { .. }) => (Status::Pending, order.retry_count, Some(now + AWAY)),
        Err(Error::Refused { .. }) => (Status::Failed, order.retry_count, None),
        Err(Error::Failed { .. } | Error::Panicked(_)) => {
            let failures = order.retry_count.saturating_add(1);
            if failures >= order.max_retries {
                (Status::Failed, failures, None)
            } else {
                let delay = state.settings.retry.delay(failures.unsigned_abs(), rand::random());
                (Status::Pending, failures, Some(now + delay))
            }
        }
    };
    let claimed = order.operations.iter().zip(&order.attempts);
    claimed
        .map(|(operation_id, attempt)| Told {
            operation_id: *operation_id,
            attempt: *attempt,
            status,
            retry_count,
            next_retry_at,
            error_message: error_message.clone(),
        })
        .collect()
}

/// What is written down about an operation as it is now.
fn logs(operation: &Operation, ended: Option<&Ended>) -> Vec<Log> {
    let Some(Ended { order, told, took }) = ended else { return Vec::new() };
    let entry = |action| Log {
        operation_id: operation.id,
        action,
        status: operation.status.word(),
        details: json!({
            "error": operation.error_message, "retry": operation.retry_count, "next_retry_at": operation.next_retry_at,
        }),
        execution_time_ms: i32::try_from(took.as_millis()).ok(),
    };
    let how: &[&str] = match (told, operation.status) {
        (Ok(()), _) => &["sync_success", "completed"],
        (Err(Error::Unavailable { .. }), _) => &["sync_error"],
        (Err(Error::Refused { .. }), Status::Failed) => &["sync_failed", "failed"],
        (Err(Error::Failed { .. } | Error::Panicked(_)), Status::Failed) => &["sync_failed", "max_retries"],
        (Err(_), _) => &["sync_failed", "retry_failed"],
    };
    let mut logs = Vec::with_capacity(how.len());
    if order.was_left {
        let details = json!({ "error": "whoever told allegro-backup before is gone" });
        logs.push(Log { details, execution_time_ms: None, ..entry("error") });
    }
    if order.retry_count > 0 {
        logs.push(Log { details: json!({ "retry": order.retry_count }), ..entry("retry") });
    }
    logs.extend(how.iter().map(|action| entry(action)));
    logs
}

fn fact(state: &State, operation: &Operation) -> Result<Option<Envelope>, pg::Error> {
    match operation.status {
        Status::Completed => state.wrap(&StockOperationCompleted(operation.fact())).map(Some),
        Status::Failed => state.wrap(&StockOperationFailed(operation.fact())).map(Some),
        Status::Pending | Status::Processing | Status::Cancelled => Ok(None),
    }
}
