//! Forgetting what is old, in small steps, and never what the cursor or the proof needs.

use serde_json::json;
use tasks::{Progress, Run, TaskError};
use time::Duration;

use crate::state::State;
use crate::store::{history, journal};

/// Rows deleted in one transaction.
const STEP: i64 = 5_000;

/// What is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    /// Readings that ended long ago.
    Readings,
    /// Events that were read long ago. The overlap's and the cursor's stay, and so do those that name an order which is
    /// not stored: they are why it is looked for.
    Events,
}

/// Forgets it.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn forget(state: &State, run: &Run, old: Old) -> Result<(), TaskError> {
    let settings = &state.sync;
    let (what, days) = match old {
        Old::Readings => ("readings", settings.history_days),
        Old::Events => ("events", settings.events_days),
    };
    let before = state.now() - Duration::days(days.into());
    // The overlap may be made longer by the next start's settings.
    let kept = i64::from(settings.events_overlap).max(1_000);
    let mut total = 0_i64;
    loop {
        run.check()?;
        let mut conn = state.pool.get().await?;
        let forgotten = match old {
            Old::Readings => history::forget(&mut conn, before, STEP).await?,
            Old::Events => journal::forget(&mut conn, before, kept, STEP).await?,
        };
        let forgotten = i64::try_from(forgotten).unwrap_or(i64::MAX);
        total += forgotten;
        if forgotten < STEP {
            return run.finish(&mut conn, &json!({ "forgotten": total })).await;
        }
        let progress = Progress { current: total, total, stage: what.to_owned() };
        run.progress(&mut conn, &progress).await?;
    }
}
