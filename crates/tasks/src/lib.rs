//! Durable tasks: work that outlives the process that runs it.
//!
//! The row in `task_history` is the truth: status, progress, result. A worker claims a due row, beats its heart
//! while it works, and writes the end under a guard on the attempt number. A worker that dies stops beating; its
//! row is then taken over with the next attempt, and whatever the old worker still writes is refused by the guard.
//!
//! A queue runs one task at a time (a partial unique index says so), different queues run side by side.
//!
//! What is due, and who is taken over, is decided by the database's clock: a process whose own clock is wrong starts nothing
//! early and nothing late.
//!
//! [`schedules`] ask for tasks again and again, by rows too: any number of [`Scheduler`]s start each run once, a run
//! missed while all were down happens once, and none starts while the one before it lives.

mod heartbeats;
mod history;
pub mod http;
mod model;
mod row;
mod run;
mod runner;
mod scheduler;
pub mod schedules;
mod store;
mod task;
mod timing;
mod unknown;

use std::time::Duration;

use diesel::data_types::PgInterval;

pub use history::{Filter, RETENTION, cancel, cancel_queue, enqueue, find, latest_in_queue, list, retry};
pub use model::{NewTask, Outcome, Progress, Status, TaskError, TaskRecord};
pub use run::Run;
pub use runner::{Runner, Settings};
pub use scheduler::Scheduler;
pub use task::{Handlers, Payload, Task, TaskContext};
pub use timing::Timing;

/// The migration that makes the tables; a service includes both texts as they are.
pub const SCHEMA_SQL: &str =
    concat!(include_str!("../sql/task_history.sql"), include_str!("../sql/schedules.sql"));

fn interval(duration: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}
