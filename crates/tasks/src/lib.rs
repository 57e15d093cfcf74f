//! Durable tasks: work that survives the process that runs it.
//!
//! The row in `task_history` holds status, progress and result. A worker claims a due row, renews its heartbeat while
//! it works, and writes the end under a fence on the attempt number. When a worker dies, its heartbeats stop: the task
//! is taken over as the next attempt, and the fence rejects all later writes of the old worker.
//!
//! A queue runs one task at a time (enforced by a partial unique index). Different queues run side by side.
//!
//! The database's clock decides which tasks are due and which workers are silent: a process with a wrong clock starts
//! nothing early and nothing late.
//!
//! [`schedules`] enqueue tasks repeatedly, by rows too. Any number of [`Scheduler`]s start each run once. Runs that
//! were missed while all were down are made up by one run, and no run starts before the previous one has ended.

mod heartbeats;
mod history;
pub mod http;
mod model;
mod row;
mod run;
mod runner;
mod schedule_row;
mod scheduler;
pub mod schedules;
mod schema;
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

/// The migration that creates the tables. Services include both texts unchanged.
pub const SCHEMA_SQL: &str =
    concat!(include_str!("../sql/task_history.sql"), include_str!("../sql/schedules.sql"));

fn interval(duration: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}
