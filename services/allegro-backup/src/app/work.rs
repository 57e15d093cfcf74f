//! Work that is asked for: what later becomes a task. Tasks of one account share a queue and run one at a time.

use domain::{AuthorizationId, TaskId, TokenId};
use serde_json::{Value, json};
use tasks::schedules::{self, NewSchedule};
use tasks::{NewTask, Timing};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::upsert::OnDuplicate;
use crate::settings::SyncSettings;
use crate::store::cursors;

/// Polls one device flow.
pub(crate) const POLL_AUTHORIZATION: &str = "poll_authorization_status";
/// Reads an account's list: all of it the first time, its last days later.
pub(crate) const FULL_SYNC: &str = "full_sync_all_orders";
/// Reads what a person asked for of an account's list.
pub(crate) const SYNC_USER: &str = "sync_user_orders";
/// Reads an account's whole list and journal.
pub(crate) const FULL_RESYNC: &str = "full_resync_user_orders";
/// Follows an account's journal.
pub(crate) const ORDER_EVENTS: &str = "sync_order_events";
/// Reads an account's journal once.
pub(crate) const PROCESS_EVENTS: &str = "process_order_events";
/// Has the journals of a user's accounts read.
pub(crate) const MANUAL_EVENTS: &str = "manual_process_events";
/// Reads again what may have changed unheard.
pub(crate) const SWEEP: &str = "sweep_open_orders";
/// Reads orders by their ids, as an event shows that they may have changed.
pub(crate) const UPDATE_ORDERS: &str = "update_order_from_event";
/// Reads orders by their ids, as they are missing.
pub(crate) const MISSING_ORDERS: &str = "sync_missing_orders";
/// Has orders of the quarantine read whose time has come.
pub(crate) const RETRY_FAILED: &str = "retry_failed_orders";
/// Forgets old readings.
pub(crate) const CLEANUP_HISTORY: &str = "cleanup_old_sync_history";
/// Forgets old events.
pub(crate) const CLEANUP_EVENTS: &str = "cleanup_old_order_events";

/// A reading may meet trouble this often before it counts as failed.
const ATTEMPTS: i32 = 100;

/// The account and its user.
pub(crate) type Whose<'a> = (TokenId, &'a str);

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

fn account_task(kind: &'static str, (token_id, user_id): Whose<'_>, mut payload: Value) -> NewTask {
    if let Some(fields) = payload.as_object_mut() {
        fields.insert("token_id".to_owned(), json!(token_id));
    }
    NewTask {
        max_attempts: ATTEMPTS,
        user_id: Some(user_id.to_owned()),
        ..NewTask::new(kind, queue(token_id), payload)
    }
}

/// Reading all of an account's list, as after connecting it; by schedule only its last days are read.
pub(crate) fn full_sync_task(
    whose: Whose<'_>,
    requested_by: Option<String>,
    correlation_id: Option<&str>,
) -> NewTask {
    NewTask {
        unique_key: Some(format!("{FULL_SYNC}:{}", whose.0)),
        requested_by,
        correlation_id: correlation_id.map(str::to_owned),
        ..account_task(FULL_SYNC, whose, json!({ "whole": true }))
    }
}

/// Reading an account's whole list again, and what the journal still holds.
pub(crate) fn resync_task(
    whose: Whose<'_>,
    requested_by: Option<String>,
    correlation_id: Option<&str>,
) -> NewTask {
    NewTask {
        unique_key: Some(format!("{FULL_RESYNC}:{}", whose.0)),
        requested_by,
        correlation_id: correlation_id.map(str::to_owned),
        ..account_task(FULL_RESYNC, whose, json!({}))
    }
}

/// Reading what a person asked for. The same asked for twice is one task.
pub(crate) fn manual_task(
    whose: Whose<'_>,
    (from, to): (Option<OffsetDateTime>, Option<OffsetDateTime>),
    on_duplicate: OnDuplicate,
) -> NewTask {
    let written = |at: Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
    let payload = json!({ "from": written(from), "to": written(to), "on_duplicate": on_duplicate });
    NewTask {
        unique_key: Some(format!("{SYNC_USER}:{}:{payload}", whose.0)),
        ..account_task(SYNC_USER, whose, payload)
    }
}

/// Reading an account's journal once, after an event or from its beginning; `again` reads orders of known events too.
pub(crate) fn process_events_task(whose: Whose<'_>, event_id: Option<&str>, again: bool) -> NewTask {
    account_task(PROCESS_EVENTS, whose, json!({ "event_id": event_id, "again": again }))
}

/// Having the journals of a user's accounts read: from the cursors, or from what was told before `from` on.
pub(crate) fn manual_events_task(
    user_id: &str,
    token_ids: &[TokenId],
    from: Option<OffsetDateTime>,
    task_id: TaskId,
) -> NewTask {
    let from = from.and_then(|at| at.format(&Rfc3339).ok());
    NewTask {
        user_id: Some(user_id.to_owned()),
        ..NewTask::new(
            MANUAL_EVENTS,
            format!("{MANUAL_EVENTS}_{task_id}"),
            json!({ "token_ids": token_ids, "from_date": from }),
        )
    }
}

/// Reading orders again that an event shows to have changed.
pub(crate) fn update_orders_task(whose: Whose<'_>, order_ids: &[String]) -> NewTask {
    account_task(UPDATE_ORDERS, whose, json!({ "order_ids": order_ids }))
}

/// Reading orders that are missing.
pub(crate) fn missing_orders_task(whose: Whose<'_>, order_ids: &[String]) -> NewTask {
    account_task(MISSING_ORDERS, whose, json!({ "order_ids": order_ids }))
}

/// Reading an order that a person asked for.
pub(crate) fn asked_order_task(whose: Whose<'_>, order_id: &str) -> NewTask {
    account_task(MISSING_ORDERS, whose, json!({ "order_ids": [order_id], "by_hand": true }))
}

/// Reading the orders of the quarantine whose time has come.
pub(crate) fn due_orders_task(whose: Whose<'_>) -> NewTask {
    NewTask {
        unique_key: Some(format!("{RETRY_FAILED}:{}", whose.0)),
        ..account_task(MISSING_ORDERS, whose, json!({ "are_due": true }))
    }
}

/// The name of one of an account's schedules.
pub(crate) fn schedule_name(kind: &str, token_id: TokenId) -> String {
    format!("{kind}:{token_id}")
}

/// The kinds of an account's schedules.
const FOLLOWING: [&str; 3] = [ORDER_EVENTS, SWEEP, FULL_SYNC];

/// Follows an account from now on: journal, open orders, and the list's last days. What is followed already is only
/// brought up to date.
///
/// # Errors
/// The database's.
pub(crate) async fn begin_following(
    conn: &mut pg::Connection,
    settings: &SyncSettings,
    whose: Whose<'_>,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    let (token_id, user_id) = whose;
    let chosen = cursors::read(conn, token_id).await?.interval_seconds;
    for kind in FOLLOWING {
        let interval = settings.interval_of(kind, chosen);
        let schedule = NewSchedule {
            name: schedule_name(kind, token_id),
            kind,
            queue: queue(token_id),
            payload: json!({ "token_id": token_id }),
            max_attempts: ATTEMPTS,
            user_id: Some(user_id.to_owned()),
            timing: Timing::every(interval),
            // The others begin at phases of their own.
            first_run_at: (kind == ORDER_EVENTS).then_some(now),
        };
        schedules::put(conn, now, &schedule).await?;
    }
    Ok(())
}

/// Switches an account's schedules on or off.
///
/// # Errors
/// The database's.
pub(crate) async fn switch_following(
    conn: &mut pg::Connection,
    token_id: TokenId,
    is_enabled: bool,
) -> Result<(), pg::Error> {
    for kind in FOLLOWING {
        schedules::set_enabled(conn, &schedule_name(kind, token_id), is_enabled).await?;
    }
    Ok(())
}

/// The schedules the service has whatever its data.
pub(crate) fn standing(settings: &SyncSettings) -> Vec<NewSchedule> {
    let standing = |kind: &'static str| NewSchedule {
        name: kind.to_owned(),
        kind,
        queue: kind.to_owned(),
        payload: json!({}),
        max_attempts: 5,
        user_id: None,
        timing: Timing::every(settings.interval_of(kind, None)),
        first_run_at: None,
    };
    [RETRY_FAILED, CLEANUP_HISTORY, CLEANUP_EVENTS].map(standing).into()
}
