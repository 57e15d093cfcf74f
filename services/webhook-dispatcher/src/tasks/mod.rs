//! Tasks: sets of deliveries, in steps that each commit, safe to begin anew.

mod cancel;
mod replay;
mod retention;

pub(crate) use retention::ApplyRetention;

/// Deliveries in one step: their rows are locked for a moment only.
const STEP: i64 = 2_000;
