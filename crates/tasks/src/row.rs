//! Rows of `task_history`.

use diesel::pg::Pg;
use diesel::prelude::*;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Progress, Status, TaskRecord};
use crate::schema::task_history;

#[derive(QueryableByName)]
#[diesel(table_name = task_history, check_for_backend(Pg))]
pub(crate) struct IdRow {
    pub(crate) id: Uuid,
}

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = task_history, check_for_backend(Pg))]
pub(crate) struct TaskRow {
    pub(crate) id: Uuid,
    kind: String,
    queue: String,
    payload: Value,
    status: String,
    progress: Option<Value>,
    pub(crate) attempt: i32,
    max_attempts: i32,
    run_at: OffsetDateTime,
    result: Option<Value>,
    error: Option<String>,
    requested_by: Option<String>,
    user_id: Option<String>,
    correlation_id: Option<String>,
    created_at: OffsetDateTime,
    started_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
    updated_at: OffsetDateTime,
}

impl TryFrom<TaskRow> for TaskRecord {
    type Error = pg::Error;

    fn try_from(row: TaskRow) -> Result<Self, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("task_history", row.id, column);
        let progress = row.progress.map(serde_json::from_value::<Progress>).transpose();
        Ok(Self {
            status: Status::parse(&row.status).ok_or_else(|| corrupt("status"))?,
            progress: progress.map_err(|_unreadable| corrupt("progress"))?,
            id: row.id.into(),
            kind: row.kind,
            queue: row.queue,
            payload: row.payload,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            result: row.result,
            error: row.error,
            requested_by: row.requested_by,
            user_id: row.user_id,
            correlation_id: row.correlation_id,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            updated_at: row.updated_at,
        })
    }
}
