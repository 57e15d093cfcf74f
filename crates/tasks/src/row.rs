//! Rows of `task_history`.

use diesel::QueryableByName;
use diesel::sql_types::{Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{Progress, Status, TaskRecord};

#[derive(QueryableByName)]
pub(crate) struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
}

#[derive(QueryableByName)]
pub(crate) struct TaskRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    queue: String,
    #[diesel(sql_type = Jsonb)]
    payload: Value,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    progress: Option<Value>,
    #[diesel(sql_type = Int4)]
    pub(crate) attempt: i32,
    #[diesel(sql_type = Int4)]
    max_attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    run_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Jsonb>)]
    result: Option<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    requested_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    user_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    correlation_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    started_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    finished_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Timestamptz)]
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
