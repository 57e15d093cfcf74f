//! Lists, enables, disables and triggers schedules.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TaskId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiJson, ApiPath, ApiQuery, Caller, Idempotent, Limit, Problem};

use super::{SCHEDULE_NOT_FOUND, SCHEDULE_OFF};
use crate::schedules::{self, Schedule};

/// A schedule that enqueues a task.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "name": "sync_order_events", "kind": "sync_order_events", "queue": "sync_0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "user_id": null,
    "cron": "15 3 * * *", "time_zone": "Europe/Warsaw", "every_seconds": null, "is_enabled": true,
    "next_run_at": "2026-11-22T02:15:00Z", "last_run_at": null, "last_success_at": null, "last_error": null,
    "task_id": null,
}))]
pub(super) struct ScheduleView {
    #[schema(example = "sync_order_events")]
    name: String,
    /// The kind of its tasks.
    kind: String,
    /// The queue of its tasks.
    queue: String,
    user_id: Option<String>,
    /// A cron expression; null if it runs by an interval.
    #[schema(example = "15 3 * * *")]
    cron: Option<String>,
    /// The time zone of the expression.
    #[schema(example = "Europe/Warsaw")]
    time_zone: Option<String>,
    every_seconds: Option<f64>,
    is_enabled: bool,
    #[serde(with = "time::serde::rfc3339")]
    next_run_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    last_run_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    last_success_at: Option<OffsetDateTime>,
    /// Error of the last run; null if it succeeded.
    last_error: Option<String>,
    /// The task of the last run.
    task_id: Option<TaskId>,
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self {
            name: schedule.name,
            kind: schedule.kind,
            queue: schedule.queue,
            user_id: schedule.user_id,
            cron: schedule.cron,
            time_zone: schedule.time_zone,
            every_seconds: schedule.every_seconds,
            is_enabled: schedule.is_enabled,
            next_run_at: schedule.next_run_at,
            last_run_at: schedule.last_run_at,
            last_success_at: schedule.last_success_at,
            last_error: schedule.last_error,
            task_id: schedule.task_id.map(TaskId::from),
        }
    }
}

/// A page of schedules, ordered by name.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduleList {
    items: Vec<ScheduleView>,
    /// Cursor of the next page; null on the last page.
    next_cursor: Option<String>,
}

/// Filter and page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSchedulesQuery {
    /// Maximum number of schedules, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `next_cursor` of the previous page.
    #[param(example = "sync_order_events")]
    cursor: Option<String>,
}

/// The change of a schedule.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateSchedule {
    /// False disables it. True enables it: runs missed meanwhile are made up by one run.
    #[schema(example = false)]
    is_enabled: bool,
}

/// Schedules, by name.
#[utoipa::path(get, path = "/schedules", tag = "tasks", operation_id = "list_schedules", params(ListSchedulesQuery),
    responses((status = 200, description = "A page of schedules", body = ScheduleList)))]
pub(super) async fn list(
    pool: Data<pg::Pool>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ListSchedulesQuery>,
) -> Result<HttpResponse, Problem> {
    let (user_id, after) = (caller.user_id.as_deref(), query.cursor.as_deref());
    let listed =
        async { schedules::list(&mut *pool.get().await?, user_id, after, query.limit.with_probe()).await };
    let mut found = listed.await.map_err(|error| Problem::database(&error))?;
    let size = usize::from(query.limit.get());
    let has_more = found.len() > size;
    found.truncate(size);
    let next_cursor = found.last().filter(|_| has_more).map(|last| last.name.clone());
    let items = found.into_iter().map(ScheduleView::from).collect();
    Ok(HttpResponse::Ok().json(ScheduleList { items, next_cursor }))
}

/// Enables or disables a schedule.
#[utoipa::path(patch, path = "/schedules/{name}", tag = "tasks", operation_id = "change_schedule",
    params(("name" = String, Path, description = "The schedule's name", example = "sync_order_events")), request_body = UpdateSchedule,
    responses((status = 200, description = "The changed schedule", body = ScheduleView),
        (status = 404, description = "schedule_not_found")))]
pub(super) async fn change(
    pool: Data<pg::Pool>,
    caller: Caller,
    name: ApiPath<String>,
    change: ApiJson<UpdateSchedule>,
) -> Result<HttpResponse, Problem> {
    let changed = pool
        .transaction(async |conn| {
            let changed = schedules::set_enabled(conn, &name, change.is_enabled).await?;
            own(changed, &caller)
        })
        .await?;
    Ok(HttpResponse::Ok().json(ScheduleView::from(changed)))
}

/// Runs a schedule at once, or when its last run has ended.
#[utoipa::path(post, path = "/schedules/{name}/run", tag = "tasks", operation_id = "run_schedule",
    params(("name" = String, Path, description = "The schedule's name", example = "sync_order_events")),
    responses((status = 202, description = "The schedule is due", body = ScheduleView),
        (status = 404, description = "schedule_not_found"), (status = 409, description = "schedule_off")))]
pub(super) async fn run(
    caller: Caller,
    idempotent: Idempotent,
    name: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    idempotent
        .run(async |conn| {
            let due = schedules::run_now(conn, &name).await;
            let due = own(due.map_err(|error| Problem::database(&error))?, &caller)?;
            if !due.is_enabled {
                return Err(Problem::new(&SCHEDULE_OFF));
            }
            Answer::accepted(&ScheduleView::from(due))
        })
        .await
}

/// Rolls back a transaction that changed nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no such schedule")]
    NotFound,
    #[error(transparent)]
    Database(#[from] pg::Error),
}

impl From<diesel::result::Error> for Refusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::new(&SCHEDULE_NOT_FOUND),
            Refusal::Database(error) => Self::database(&error),
        }
    }
}

fn own(schedule: Option<Schedule>, caller: &Caller) -> Result<Schedule, Refusal> {
    schedule.filter(|it| caller.may_see(it.user_id.as_deref())).ok_or(Refusal::NotFound)
}
