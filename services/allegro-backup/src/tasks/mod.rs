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
mod retry_failed_orders;
mod sweep_open_orders;
mod sync_order_events;
mod update_orders;
mod user_sync;

use std::sync::Arc;
use std::time::Duration;

use tasks::schedules::NewSchedule;
use tasks::{Handlers, Timing};

use self::cleanup_events::CleanupEvents;
use self::cleanup_history::CleanupHistory;
use self::refresh_tokens::RefreshTokens;
use crate::app::task_definitions::{
    FullResync, FullSync, ManualEvents, MissingOrders, PollAuthorization, ProcessEvents, RetryFailedOrders,
    SweepOpenOrders, SyncOrderEvents, UpdateOrders, UserSync,
};
use crate::settings::SyncSettings;
use crate::state::State;

/// All kinds of tasks.
pub(crate) fn handlers(state: &Arc<State>) -> Handlers {
    let state = || Arc::clone(state);
    Handlers::new()
        .with::<PollAuthorization>(state())
        .with::<RefreshTokens>(state())
        .with::<FullSync>(state())
        .with::<UserSync>(state())
        .with::<FullResync>(state())
        .with::<SyncOrderEvents>(state())
        .with::<ProcessEvents>(state())
        .with::<ManualEvents>(state())
        .with::<SweepOpenOrders>(state())
        .with::<UpdateOrders>(state())
        .with::<MissingOrders>(state())
        .with::<RetryFailedOrders>(state())
        .with::<CleanupHistory>(state())
        .with::<CleanupEvents>(state())
}

/// The schedules of the service itself, whatever its data.
pub(crate) fn schedules(settings: &SyncSettings, refresh_interval: Duration) -> Vec<NewSchedule> {
    vec![
        NewSchedule::of_service(&RetryFailedOrders {}, Timing::every(settings.retry_interval)),
        NewSchedule::of_service(&CleanupHistory {}, Timing::every(settings.cleanup_history_interval)),
        NewSchedule::of_service(&CleanupEvents {}, Timing::every(settings.cleanup_events_interval)),
        NewSchedule::of_service(&RefreshTokens {}, Timing::every(refresh_interval)),
    ]
}
