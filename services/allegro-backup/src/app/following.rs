//! The schedules of an account: journal, open orders, and the list's last days.

use domain::TokenId;
use tasks::schedules::{self, NewSchedule};
use tasks::{Payload, Task, Timing};
use time::OffsetDateTime;

use super::task_definitions::{ATTEMPTS, FullSync, SweepOpenOrders, SyncOrderEvents, Whose, queue};
use crate::settings::SyncSettings;
use crate::store::cursors;

/// The kinds of an account's schedules.
const KINDS: [&str; 3] = [SyncOrderEvents::KIND, SweepOpenOrders::KIND, FullSync::KIND];

/// The name of the schedule of one kind of an account's tasks.
pub(crate) fn schedule_name<T: Task>(token_id: TokenId) -> String {
    name(T::KIND, token_id)
}

fn name(kind: &str, token_id: TokenId) -> String {
    format!("{kind}:{token_id}")
}

/// Follows an account from now on. An account that is followed already only gets the current settings.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(
    conn: &mut pg::Connection,
    settings: &SyncSettings,
    (token_id, user_id): Whose<'_>,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    let chosen = cursors::read(conn, token_id).await?.interval_seconds;
    let journal = Payload::of(&SyncOrderEvents { token_id });
    let open_orders = Payload::of(&SweepOpenOrders { token_id });
    let list = Payload::of(&FullSync { token_id, whole: false });
    for (payload, interval, first_run_at) in [
        (journal, settings.events_interval(chosen), Some(now)),
        // These begin at phases of their own.
        (open_orders, settings.sweep_interval, None),
        (list, settings.full_sync_interval, None),
    ] {
        let schedule = NewSchedule {
            name: name(payload.kind(), token_id),
            payload,
            queue: queue(token_id),
            max_attempts: ATTEMPTS,
            user_id: Some(user_id.to_owned()),
            timing: Timing::every(interval),
            first_run_at,
        };
        schedules::put(conn, now, &schedule).await?;
    }
    Ok(())
}

/// Switches an account's schedules on or off.
///
/// # Errors
/// The database's.
pub(crate) async fn switch(
    conn: &mut pg::Connection,
    token_id: TokenId,
    is_enabled: bool,
) -> Result<(), pg::Error> {
    for kind in KINDS {
        schedules::set_enabled(conn, &name(kind, token_id), is_enabled).await?;
    }
    Ok(())
}
