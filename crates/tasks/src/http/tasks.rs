//! Lists, cancels and retries tasks.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TaskId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiPath, ApiQuery, Caller, Cursor, Idempotent, Limit, Page, Problem};

use super::{TASK_NOT_FOUND, TASK_STATE};
use crate::history::{self, Filter};
use crate::model::{Progress, Status, TaskRecord};

/// Status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Shown {
    /// Waits for its time and a worker.
    Pending,
    /// Runs, or waits for its next attempt.
    Progress,
    /// Finished successfully.
    Success,
    /// Failed permanently.
    Failure,
    /// Cancelled.
    Cancelled,
}

impl From<Status> for Shown {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Pending,
            Status::Running | Status::Retrying => Self::Progress,
            Status::Succeeded => Self::Success,
            Status::Failed => Self::Failure,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl Shown {
    fn statuses(self) -> Vec<Status> {
        Status::ALL.into_iter().filter(|status| Self::from(*status) == self).collect()
    }
}

/// Progress of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressView {
    /// Items that are finished.
    #[schema(example = 500)]
    current: i64,
    /// Total items, if known.
    #[schema(example = 2000)]
    total: i64,
    /// The current stage.
    #[schema(example = "orders")]
    stage: String,
}

impl From<Progress> for ProgressView {
    fn from(Progress { current, total, stage }: Progress) -> Self {
        Self { current, total, stage }
    }
}

/// A durable task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e", "kind": "full_sync_all_orders",
    "queue": "sync_0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "status": "PROGRESS",
    "progress": { "current": 500, "total": 2000, "stage": "orders" }, "attempt": 1, "run_at": "2026-11-21T08:00:00Z",
    "result": null, "error": null, "requested_by": "anna", "user_id": "sklep-zielony", "correlation_id": "order-4711",
    "created_at": "2026-11-21T08:00:00Z", "started_at": "2026-11-21T08:00:01Z", "finished_at": null,
    "updated_at": "2026-11-21T08:00:09Z",
}))]
pub struct TaskView {
    task_id: TaskId,
    /// Kind of the work.
    kind: String,
    /// Tasks of one queue run one at a time.
    queue: String,
    status: Shown,
    progress: Option<ProgressView>,
    /// Number of attempts so far.
    attempt: i32,
    /// Earliest start.
    #[serde(with = "time::serde::rfc3339")]
    run_at: OffsetDateTime,
    /// Result of the last attempt.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Error of the last attempt.
    error: Option<String>,
    requested_by: Option<String>,
    user_id: Option<String>,
    correlation_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<TaskRecord> for TaskView {
    fn from(task: TaskRecord) -> Self {
        Self {
            task_id: task.id,
            kind: task.kind,
            queue: task.queue,
            status: task.status.into(),
            progress: task.progress.map(ProgressView::from),
            attempt: task.attempt,
            run_at: task.run_at,
            result: task.result,
            error: task.error,
            requested_by: task.requested_by,
            user_id: task.user_id,
            correlation_id: task.correlation_id,
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            updated_at: task.updated_at,
        }
    }
}

/// Filter and page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListTasksQuery {
    /// Only tasks in this state.
    #[param(inline, example = "PROGRESS")]
    status: Option<Shown>,
    /// Only tasks of this kind.
    #[param(example = "full_sync_all_orders")]
    kind: Option<String>,
    /// Only tasks of this queue.
    #[param(example = "sync_0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    queue: Option<String>,
    /// Maximum number of tasks, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `next_cursor` of the previous page.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    cursor: Option<String>,
}

/// Tasks, newest first.
#[utoipa::path(get, path = "/tasks", tag = "tasks", operation_id = "list_tasks", params(ListTasksQuery),
    responses((status = 200, description = "A page of tasks", body = Page<TaskView>)))]
pub(super) async fn list(
    pool: Data<pg::Pool>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ListTasksQuery>,
) -> Result<HttpResponse, Problem> {
    let after = Cursor::after(query.cursor.as_deref())?;
    let filter = Filter {
        statuses: query.status.map(Shown::statuses),
        kind: query.kind,
        queue: query.queue,
        user_id: caller.user_id,
    };
    let listed =
        async { history::list(&mut *pool.get().await?, &filter, after, query.limit.with_probe()).await };
    let tasks = listed.await.map_err(|error| Problem::database(&error))?;
    let page = Page::new(tasks, query.limit, |task| Cursor { time: task.created_at, id: task.id.as_uuid() });
    Ok(HttpResponse::Ok().json(page.map(TaskView::from)))
}

/// One task.
#[utoipa::path(get, path = "/tasks/{task_id}", tag = "tasks", operation_id = "get_task",
    params(("task_id" = TaskId, Path, description = "The task's id",
        example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e")),
    responses((status = 200, description = "The task", body = TaskView),
        (status = 404, description = "task_not_found")))]
pub(super) async fn find(
    pool: Data<pg::Pool>,
    caller: Caller,
    task_id: ApiPath<TaskId>,
) -> Result<HttpResponse, Problem> {
    let mut conn = pool.get().await.map_err(|error| Problem::database(&error))?;
    let task = visible(&mut conn, &caller, *task_id).await?;
    Ok(HttpResponse::Ok().json(TaskView::from(task)))
}

/// Cancels a task. A waiting task never starts; a running one stops at its next step. Repeating it has no effect.
#[utoipa::path(post, path = "/tasks/{task_id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("task_id" = TaskId, Path, description = "The task's id",
        example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e")),
    responses((status = 200, description = "The task, cancelled", body = TaskView),
        (status = 404, description = "task_not_found"),
        (status = 409, description = "task_state")))]
pub(super) async fn cancel(
    caller: Caller,
    idempotent: Idempotent,
    task_id: ApiPath<TaskId>,
) -> Result<HttpResponse, Problem> {
    idempotent
        .run(async |conn| {
            visible(conn, &caller, *task_id).await?;
            let cancelled = history::cancel(conn, *task_id, &caller.subject).await;
            let task = match cancelled.map_err(|error| Problem::database(&error))? {
                Some(task) => task,
                None => visible(conn, &caller, *task_id).await?,
            };
            if task.status != Status::Cancelled {
                return Err(Problem::new(&TASK_STATE).detail("the task has already ended"));
            }
            Answer::ok(&TaskView::from(task))
        })
        .await
}

/// Same as `cancel`.
#[utoipa::path(post, path = "/tasks/{task_id}/stop", tag = "tasks", operation_id = "stop_task",
    params(("task_id" = TaskId, Path, description = "The task's id",
        example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e")),
    responses((status = 200, description = "The task, cancelled", body = TaskView),
        (status = 404, description = "task_not_found"),
        (status = 409, description = "task_state")))]
pub(super) async fn stop(
    caller: Caller,
    idempotent: Idempotent,
    task_id: ApiPath<TaskId>,
) -> Result<HttpResponse, Problem> {
    cancel(caller, idempotent, task_id).await
}

/// Retries a task that failed or was cancelled.
#[utoipa::path(post, path = "/tasks/{task_id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("task_id" = TaskId, Path, description = "The task's id",
        example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e")),
    responses((status = 200, description = "The task, waiting for its attempt", body = TaskView),
        (status = 404, description = "task_not_found"),
        (status = 409, description = "task_state")))]
pub(super) async fn retry(
    caller: Caller,
    idempotent: Idempotent,
    task_id: ApiPath<TaskId>,
) -> Result<HttpResponse, Problem> {
    idempotent
        .run(async |conn| {
            visible(conn, &caller, *task_id).await?;
            match history::retry(conn, *task_id).await {
                Ok(Some(task)) => Answer::ok(&TaskView::from(task)),
                Ok(None) => Err(Problem::new(&TASK_STATE)
                    .detail("only a task that failed or was cancelled can be retried")),
                Err(pg::Error::UniqueViolation { .. }) => {
                    Err(Problem::new(&TASK_STATE)
                        .detail("another task with the same unique key is unfinished"))
                }
                Err(error) => Err(Problem::database(&error)),
            }
        })
        .await
}

/// The task, if the caller may see it.
async fn visible(conn: &mut pg::Connection, caller: &Caller, id: TaskId) -> Result<TaskRecord, Problem> {
    let found = history::find(conn, id).await.map_err(|error| Problem::database(&error))?;
    found.filter(|task| caller.may_see(task.user_id.as_deref())).ok_or_else(|| Problem::new(&TASK_NOT_FOUND))
}
