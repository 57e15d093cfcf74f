//! Durable tasks: work that outlives the process that runs it.
//!
//! The row in `task_history` is the truth: status, progress, result. A worker claims a due row, beats its heart
//! while it works, and writes the end under a guard on the attempt number. A worker that dies stops beating; its
//! row is then taken over with the next attempt, and whatever the old worker still writes is refused by the guard.
//!
//! A queue runs one task at a time (a partial unique index says so), different queues run side by side.

mod model;
mod run;
mod runner;
mod store;

pub use model::{NewTask, Outcome, Progress, Status, Task, TaskError};
pub use run::Run;
pub use runner::{Runner, Settings, TaskHandler};
pub use store::{enqueue, find, latest_in_queue};

/// The migration that makes the table; a service includes it as it is.
pub const TASK_HISTORY_SQL: &str = include_str!("../sql/task_history.sql");
