//! How each kind of task runs. Those that use cases enqueue are defined in `app::task_definitions`.

mod account;
mod cleanup_events;
mod cleanup_history;
mod full_resync;
mod full_sync;
mod manual_events;
mod missing_orders;
mod poll_authorization;
mod process_events;
mod refresh_tokens;
mod reread_orders;
mod retry_failed_orders;
mod sweep_open_orders;
mod sync_order_events;
mod update_orders;
mod user_sync;

use std::time::Duration;

use runtime::Parts;
use tasks::Timing;

use self::cleanup_events::CleanupEvents;
use self::cleanup_history::CleanupHistory;
use self::refresh_tokens::RefreshTokens;
use crate::app::task_definitions::{
    FullResync, FullSync, ManualEvents, MissingOrders, PollAuthorization, ProcessEvents, RereadOrders,
    RetryFailedOrders, SweepOpenOrders, SyncOrderEvents, UpdateOrders, UserSync,
};
use crate::settings::SyncSettings;
use crate::state::State;

/// Declares all kinds of tasks, and the schedules of the service itself.
pub(crate) fn declare(
    parts: Parts<State>,
    settings: &SyncSettings,
    refresh_interval: Duration,
) -> Parts<State> {
    parts
        .task::<PollAuthorization>()
        .task::<FullSync>()
        .task::<UserSync>()
        .task::<FullResync>()
        .task::<SyncOrderEvents>()
        .task::<ProcessEvents>()
        .task::<ManualEvents>()
        .task::<SweepOpenOrders>()
        .task::<UpdateOrders>()
        .task::<MissingOrders>()
        .task::<RereadOrders>()
        .schedule(&RetryFailedOrders {}, Timing::every(settings.retry_interval))
        .schedule(&CleanupHistory {}, Timing::every(settings.cleanup_history_interval))
        .schedule(&CleanupEvents {}, Timing::every(settings.cleanup_events_interval))
        .schedule(&RefreshTokens {}, Timing::every(refresh_interval))
}
