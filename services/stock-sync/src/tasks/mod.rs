//! How each kind of task runs.

mod monitor;
mod reconcile;
mod verify;

pub(crate) use monitor::Monitor;
pub(crate) use verify::VerifyLedger;
