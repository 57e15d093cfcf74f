//! What is done again and again.

mod monitor;
mod reconcile;
mod verify;

use std::time::Duration;

use ::tasks::Timing;
use ::tasks::schedules::NewSchedule;
use serde_json::json;

pub(crate) use monitor::Monitor;
pub(crate) use reconcile::Reconcile;
pub(crate) use verify::Verify;

/// A schedule of the service's own: one task at a time, of this kind.
fn standing(kind: &'static str, every: Duration) -> NewSchedule {
    NewSchedule {
        name: kind.to_owned(),
        kind,
        queue: kind.to_owned(),
        payload: json!({}),
        max_attempts: 5,
        user_id: None,
        timing: Timing::every(every),
        first_run_at: None,
    }
}
