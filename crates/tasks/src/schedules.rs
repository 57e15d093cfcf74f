//! Schedules: rows in Postgres that enqueue tasks repeatedly.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Int4, Interval, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::TaskId;
use pg::{Columns, dsl};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::interval;
use crate::schedule_row::ScheduleRow;
use crate::schema::schedules;
use crate::task::{Payload, Task};
use crate::timing::{Timing, When};

/// A schedule to store.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// Unique name.
    pub name: String,
    /// The [`crate::Task`] that it enqueues.
    pub payload: Payload,
    /// The queue of its tasks.
    pub queue: String,
    /// Maximum number of attempts of each task.
    pub max_attempts: i32,
    /// The user whose data its tasks work on.
    pub user_id: Option<String>,
    /// The times of its runs.
    pub timing: Timing,
    /// Time of the first run, instead of the timing's.
    pub first_run_at: Option<OffsetDateTime>,
}

impl NewSchedule {
    /// A schedule of the service itself, with the name and the queue of its kind. Its tasks run at most five times.
    pub fn of_service<T: Task>(task: &T, timing: Timing) -> Self {
        Self {
            name: T::KIND.to_owned(),
            payload: Payload::of(task),
            queue: T::KIND.to_owned(),
            max_attempts: 5,
            user_id: None,
            timing,
            first_run_at: None,
        }
    }
}

/// A stored schedule.
#[derive(Debug)]
pub struct Schedule {
    /// Unique name.
    pub name: String,
    /// The kind of its tasks.
    pub kind: String,
    /// The queue of its tasks.
    pub queue: String,
    /// The user whose data its tasks work on.
    pub user_id: Option<String>,
    /// The cron expression, if it has one.
    pub cron: Option<String>,
    /// The time zone of the expression.
    pub time_zone: Option<String>,
    /// The interval in seconds, if it has one.
    pub every_seconds: Option<f64>,
    /// False when it is disabled.
    pub is_enabled: bool,
    /// Time of the next run.
    pub next_run_at: OffsetDateTime,
    /// Time of the last run.
    pub last_run_at: Option<OffsetDateTime>,
    /// Time of the last successful run.
    pub last_success_at: Option<OffsetDateTime>,
    /// Error of the last run.
    pub last_error: Option<String>,
    /// The task of the last run.
    pub task_id: Option<Uuid>,
}

/// Inserts or updates a schedule by its name. Its next run moves only when its timing changes.
///
/// `now` is the reference of `first_run_at`, by the caller's clock: the first run is as far from the database's time as
/// `first_run_at` is from `now`.
///
/// # Errors
/// The database's error.
pub async fn put(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    schedule: &NewSchedule,
) -> Result<(), pg::Error> {
    let (cron, time_zone, every) = match &schedule.timing.0 {
        When::Cron { expression, time_zone, .. } => (Some(expression), Some(time_zone), None),
        When::Every(every) => (None, None, Some(interval(*every))),
    };
    let theirs = pg::now(conn).await?;
    let first = match schedule.first_run_at {
        Some(at) => theirs.saturating_add(at - now),
        None => schedule.timing.beginning(&schedule.name, theirs).unwrap_or(theirs),
    };
    sql_query(
        "INSERT INTO schedules (name, kind, queue, payload, max_attempts, user_id, cron, time_zone, every, next_run_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, queue = excluded.queue, payload = excluded.payload, \
             max_attempts = excluded.max_attempts, user_id = excluded.user_id, cron = excluded.cron, \
             time_zone = excluded.time_zone, every = excluded.every, updated_at = now(), \
             next_run_at = CASE WHEN (schedules.cron, schedules.time_zone, schedules.every) \
                 IS NOT DISTINCT FROM (excluded.cron, excluded.time_zone, excluded.every) \
                 THEN schedules.next_run_at ELSE excluded.next_run_at END",
    )
    .bind::<Text, _>(&schedule.name)
    .bind::<Text, _>(schedule.payload.kind())
    .bind::<Text, _>(&schedule.queue)
    .bind::<Jsonb, _>(schedule.payload.json()?)
    .bind::<Int4, _>(schedule.max_attempts)
    .bind::<Nullable<Text>, _>(&schedule.user_id)
    .bind::<Nullable<Text>, _>(cron)
    .bind::<Nullable<Text>, _>(time_zone)
    .bind::<Nullable<Interval>, _>(every)
    .bind::<Timestamptz, _>(first)
    .execute(conn)
    .await?;
    Ok(())
}

/// A schedule by its name.
///
/// # Errors
/// The database's error.
pub async fn find(conn: &mut pg::Connection, name: &str) -> Result<Option<Schedule>, pg::Error> {
    let found = schedules::table.find(name).select(ScheduleRow::as_select()).first(conn).await;
    found.optional()?.map(Schedule::try_from).transpose()
}

/// Deletes a schedule. A running task continues. False when it does not exist.
///
/// # Errors
/// The database's error.
pub async fn remove(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    Ok(diesel::delete(schedules::table.find(name)).execute(conn).await? > 0)
}

/// Deletes all schedules of a queue, as [`remove`] does, and returns how many.
///
/// # Errors
/// The database's error.
pub async fn remove_queue(conn: &mut pg::Connection, queue: &str) -> Result<usize, pg::Error> {
    Ok(diesel::delete(schedules::table.filter(schedules::queue.eq(queue))).execute(conn).await?)
}

/// Disables the enabled schedules of a queue, and returns their names, for [`switch_on`].
///
/// # Errors
/// The database's error.
pub async fn switch_queue_off(conn: &mut pg::Connection, queue: &str) -> Result<Vec<String>, pg::Error> {
    let enabled = schedules::table.filter(schedules::queue.eq(queue)).filter(schedules::is_enabled);
    let switched = diesel::update(enabled)
        .set((schedules::is_enabled.eq(false), schedules::updated_at.eq(dsl::now())))
        .returning(schedules::name);
    Ok(switched.get_results(conn).await?)
}

/// Enables these schedules. Missed runs are made up by one run.
///
/// # Errors
/// The database's error.
pub async fn switch_on(conn: &mut pg::Connection, names: &[String]) -> Result<(), pg::Error> {
    diesel::update(schedules::table.filter(schedules::name.eq_any(names)))
        .set((schedules::is_enabled.eq(true), schedules::updated_at.eq(dsl::now())))
        .execute(conn)
        .await?;
    Ok(())
}

/// Enables or disables a schedule. After it is enabled, missed runs are made up by one run. `None` when it does not
/// exist.
///
/// # Errors
/// The database's error.
pub async fn set_enabled(
    conn: &mut pg::Connection,
    name: &str,
    is_enabled: bool,
) -> Result<Option<Schedule>, pg::Error> {
    let changed = diesel::update(schedules::table.find(name))
        .set((schedules::is_enabled.eq(is_enabled), schedules::updated_at.eq(dsl::now())))
        .returning(ScheduleRow::as_returning());
    changed.get_result(conn).await.optional()?.map(Schedule::try_from).transpose()
}

/// Makes a schedule due now. A disabled schedule remains disabled. `None` when it does not exist.
///
/// # Errors
/// The database's error.
pub async fn run_now(conn: &mut pg::Connection, name: &str) -> Result<Option<Schedule>, pg::Error> {
    let changed = sql_query(
        "UPDATE schedules SET updated_at = now(), \
             next_run_at = CASE WHEN is_enabled THEN least(next_run_at, now()) ELSE next_run_at END \
         WHERE name = $1 RETURNING *",
    );
    let changed = changed.bind::<Text, _>(name).get_result::<ScheduleRow>(conn).await;
    changed.optional()?.map(Schedule::try_from).transpose()
}

/// Sets the interval of all schedules of a kind that run by an interval, and returns how many changed. None waits
/// longer than before, and those that run sooner are spread over the interval.
pub(crate) async fn set_interval(
    conn: &mut pg::Connection,
    kind: &str,
    every: Duration,
) -> Result<usize, pg::Error> {
    let changed = sql_query(
        "UPDATE schedules SET every = $2, next_run_at = least(next_run_at, now() + $2 * random()), updated_at = now() \
         WHERE kind = $1 AND every <> $2",
    );
    Ok(changed
        .bind::<Text, _>(kind)
        .bind::<Interval, _>(interval(every.max(Duration::from_secs(1))))
        .execute(conn)
        .await?)
}

/// Schedules by name, beginning after `after`, only those of `user_id` if it is given.
///
/// # Errors
/// The database's error.
pub async fn list(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Schedule>, pg::Error> {
    let by_name = schedules::table.order(schedules::name).limit(limit);
    let mut query = by_name.select(ScheduleRow::as_select()).into_boxed();
    if let Some(user_id) = user_id {
        query = query.filter(schedules::user_id.eq(user_id));
    }
    if let Some(after) = after {
        query = query.filter(schedules::name.gt(after));
    }
    query.load(conn).await?.into_iter().map(Schedule::try_from).collect()
}

/// Locks and returns due schedules: enabled, at their time, and without an unfinished run.
pub(crate) async fn due(conn: &mut pg::Connection, limit: i64) -> Result<Vec<ScheduleRow>, pg::Error> {
    let due = sql_query(
        "SELECT * FROM schedules s WHERE is_enabled AND next_run_at <= now() AND NOT EXISTS ( \
             SELECT 1 FROM task_history h WHERE h.unique_key = 'schedule:' || s.name \
                 AND h.status IN ('queued', 'running', 'retrying')) \
         ORDER BY next_run_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    );
    Ok(due.bind::<BigInt, _>(limit).load(conn).await?)
}

/// Delays due schedules that cannot be read.
pub(crate) async fn postpone(
    conn: &mut pg::Connection,
    names: &[&str],
    until: OffsetDateTime,
) -> Result<(), pg::Error> {
    if names.is_empty() {
        return Ok(());
    }
    diesel::update(schedules::table.filter(schedules::name.eq_any(names)))
        .set((
            schedules::next_run_at.eq(until),
            schedules::updated_at.eq(dsl::now()),
            schedules::last_error.eq("the stored timing cannot be read"),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// A run to enqueue.
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) task_id: TaskId,
    pub(crate) next_run_at: Option<OffsetDateTime>,
}

/// Enqueues the runs and advances their schedules. A schedule without a further run is disabled.
pub(crate) async fn start(conn: &mut pg::Connection, starts: &[Start]) -> Result<(), pg::Error> {
    let starts = Columns(starts);
    sql_query(
        "WITH due AS (SELECT * FROM unnest($1, $2, $3) AS d (name, task_id, next_run_at)), \
         asked AS ( \
             INSERT INTO task_history (id, kind, queue, payload, max_attempts, run_at, unique_key, requested_by, \
                 user_id, created_at, updated_at) \
             SELECT d.task_id, s.kind, s.queue, s.payload, s.max_attempts, now(), 'schedule:' || s.name, 'schedule', \
                 s.user_id, now(), now() FROM due d JOIN schedules s USING (name) \
             ON CONFLICT DO NOTHING RETURNING id), \
         moved AS ( \
             UPDATE schedules s SET last_run_at = now(), updated_at = now(), is_enabled = d.next_run_at IS NOT NULL, \
                 next_run_at = coalesce(d.next_run_at, s.next_run_at), \
                 task_id = coalesce((SELECT id FROM asked WHERE id = d.task_id), s.task_id) \
             FROM due d WHERE s.name = d.name) \
         SELECT pg_notify('tasks_' || current_schema(), '')",
    )
    .bind::<Array<Text>, _>(starts.array(|it| it.name.as_str()))
    .bind::<Array<SqlUuid>, _>(starts.array(|it| it.task_id.as_uuid()))
    .bind::<Array<Nullable<Timestamptz>>, _>(starts.array(|it| it.next_run_at))
    .execute(conn)
    .await?;
    Ok(())
}
