//! Work that is asked for: what later becomes a task. Tasks of one account share a queue and run one at a time.

use std::time::Duration;

use domain::{AuthorizationId, TokenId};
use serde_json::json;
use tasks::schedules::NewSchedule;
use tasks::{NewTask, Timing};
use time::OffsetDateTime;

/// Polls one device flow.
pub(crate) const POLL_AUTHORIZATION: &str = "poll_authorization_status";
/// Reads an account's whole list.
pub(crate) const FULL_SYNC: &str = "full_sync_all_orders";
/// Follows an account's journal.
pub(crate) const ORDER_EVENTS: &str = "sync_order_events";
/// Asks for one order again.
pub(crate) const REFETCH: &str = "sync_missing_orders";

/// A reading may meet trouble this often before it counts as failed.
const ATTEMPTS: i32 = 100;

/// The queue of an account.
pub(crate) fn queue(token_id: TokenId) -> String {
    format!("sync_{token_id}")
}

/// Polling a device flow, from `run_at`.
pub(crate) fn poll_task(
    (id, user_id): (AuthorizationId, &str),
    run_at: OffsetDateTime,
    requested_by: Option<String>,
    correlation_id: Option<&str>,
) -> NewTask {
    NewTask {
        kind: POLL_AUTHORIZATION,
        queue: format!("authorization_{id}"),
        payload: json!({ "authorization_id": id }),
        run_at: Some(run_at),
        unique_key: Some(format!("{POLL_AUTHORIZATION}:{id}")),
        max_attempts: ATTEMPTS,
        requested_by,
        user_id: Some(user_id.to_owned()),
        correlation_id: correlation_id.map(str::to_owned),
    }
}

/// Reading an account's whole list.
pub(crate) fn full_sync_task(
    (token_id, user_id): (TokenId, &str),
    requested_by: Option<String>,
    correlation_id: Option<&str>,
) -> NewTask {
    NewTask {
        kind: FULL_SYNC,
        queue: queue(token_id),
        payload: json!({ "token_id": token_id }),
        run_at: None,
        unique_key: Some(format!("{FULL_SYNC}:{token_id}")),
        max_attempts: ATTEMPTS,
        requested_by,
        user_id: Some(user_id.to_owned()),
        correlation_id: correlation_id.map(str::to_owned),
    }
}

/// Asking for one order of an account again.
pub(crate) fn refetch_task(
    (token_id, user_id): (TokenId, &str),
    order_id: &str,
    requested_by: Option<String>,
    correlation_id: Option<&str>,
) -> NewTask {
    NewTask {
        kind: REFETCH,
        queue: queue(token_id),
        payload: json!({ "token_id": token_id, "order_id": order_id }),
        run_at: None,
        unique_key: Some(format!("{REFETCH}:{token_id}:{order_id}")),
        max_attempts: ATTEMPTS,
        requested_by,
        user_id: Some(user_id.to_owned()),
        correlation_id: correlation_id.map(str::to_owned),
    }
}

/// The name of the schedule that follows an account's journal.
pub(crate) fn follow_name(token_id: TokenId) -> String {
    format!("{ORDER_EVENTS}:{token_id}")
}

/// Following an account's journal from now on.
pub(crate) fn follow(
    (token_id, user_id): (TokenId, &str),
    interval: Duration,
    first_run_at: OffsetDateTime,
) -> NewSchedule {
    NewSchedule {
        name: follow_name(token_id),
        kind: ORDER_EVENTS,
        queue: queue(token_id),
        payload: json!({ "token_id": token_id }),
        max_attempts: ATTEMPTS,
        user_id: Some(user_id.to_owned()),
        timing: Timing::every(interval),
        first_run_at: Some(first_run_at),
    }
}
