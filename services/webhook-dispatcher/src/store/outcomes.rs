//! Records the outcomes of attempts, many in one statement.

use diesel::prelude::{ExpressionMethods, QueryDsl};
use diesel::sql_query;
use diesel::sql_types::{Array, Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use pg::Columns;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::webhook_deliveries;
use crate::domain::delivery::Status;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) delivery_id: Uuid,
    pub(crate) subscription_id: Uuid,
    /// The claim of the attempt. An outcome of an older claim is not recorded.
    pub(crate) claim: i32,
    /// Number of the attempt; 0 when none was made. A throttled try has the number of the attempt that it did not use.
    pub(crate) attempt: i32,
    pub(crate) attempted_at: OffsetDateTime,
    pub(crate) duration_ms: i32,
    pub(crate) ending: Ending,
    pub(crate) answer: Answer,
    /// The pause that the endpoint asked for.
    pub(crate) pause_seconds: Option<i32>,
}

/// The result for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    /// No attempt is left.
    Failed,
    /// The receiver answered 410 Gone.
    Gone,
    Cancelled,
    /// Due again.
    Again(OffsetDateTime),
    /// The receiver throttles: the delivery is due again and no attempt is used.
    Throttled(OffsetDateTime),
    /// Released without an attempt: due as soon as the circuit admits it.
    Postponed,
}

/// The response to an attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<i32>,
    pub(crate) headers: Option<Value>,
    pub(crate) body: Option<String>,
    /// The address that was connected to.
    pub(crate) ip: Option<String>,
    pub(crate) error: Option<(&'static str, String)>,
}

impl Ending {
    /// The label of metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Again(_) => "retried",
            Self::Throttled(_) => "throttled",
            Self::Postponed => "postponed",
            Self::Success | Self::Failed | Self::Cancelled => self.status().as_str(),
        }
    }

    /// The status of the delivery afterwards.
    const fn status(self) -> Status {
        match self {
            Self::Success => Status::Success,
            Self::Failed | Self::Gone => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Again(_) | Self::Throttled(_) | Self::Postponed => Status::Pending,
        }
    }

    const fn next_attempt_at(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Self::Again(at) | Self::Throttled(at) => Some(at),
            Self::Postponed => Some(now),
            Self::Success | Self::Failed | Self::Gone | Self::Cancelled => None,
        }
    }
}

impl Outcome {
    /// The number of used attempts of the delivery.
    const fn used(&self) -> i32 {
        match self.ending {
            Ending::Throttled(_) => self.attempt - 1,
            Ending::Success
            | Ending::Failed
            | Ending::Gone
            | Ending::Cancelled
            | Ending::Again(_)
            | Ending::Postponed => self.attempt,
        }
    }
}

/// Records outcomes and their attempts in one statement, except those of a claim that is no longer the current one.
pub(crate) async fn record(
    conn: &mut pg::Connection,
    outcomes: &[Outcome],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    let columns = Columns(outcomes);
    // A postponed delivery keeps the response of its last attempt.
    let statement = sql_query(
        "WITH recorded AS ( \
             UPDATE webhook_deliveries AS d SET status = u.status, attempts = greatest(d.attempts, u.used), \
                 next_attempt_at = u.next_attempt_at, updated_at = $15, \
                 response_status = CASE WHEN u.attempt = 0 THEN d.response_status ELSE u.response_status END, \
                 response_body = CASE WHEN u.attempt = 0 THEN d.response_body ELSE u.response_body END, \
                 error_message = CASE WHEN u.attempt = 0 THEN coalesce(u.error_message, d.error_message) \
                     ELSE u.error_message END, \
                 delivered_at = CASE WHEN u.status = 'success' THEN u.attempted_at END \
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                 AS u (id, claim, attempt, used, attempted_at, duration_ms, status, next_attempt_at, response_status, \
                       response_headers, response_body, ip, error_class, error_message) \
             WHERE d.id = u.id AND d.claim = u.claim AND d.status = 'delivering' \
             RETURNING u.*, d.trigger) \
         INSERT INTO delivery_attempts (delivery_id, attempt, attempted_at, duration_ms, trigger, ip, response_status, \
             response_headers, response_body, error_class, error_message) \
         SELECT id, attempt, attempted_at, duration_ms, trigger, ip, response_status, response_headers, \
             response_body, error_class, error_message FROM recorded WHERE attempt > 0",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.delivery_id))
    .bind::<Array<Int4>, _>(columns.array(|it| it.claim))
    .bind::<Array<Int4>, _>(columns.array(|it| it.attempt))
    .bind::<Array<Int4>, _>(columns.array(Outcome::used))
    .bind::<Array<Timestamptz>, _>(columns.array(|it| it.attempted_at))
    .bind::<Array<Int4>, _>(columns.array(|it| it.duration_ms))
    .bind::<Array<Text>, _>(columns.array(|it| it.ending.status().as_str()))
    .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.ending.next_attempt_at(now)))
    .bind::<Array<Nullable<Int4>>, _>(columns.array(|it| it.answer.status))
    .bind::<Array<Nullable<Jsonb>>, _>(columns.array(|it| it.answer.headers.as_ref()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.answer.body.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.answer.ip.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.answer.error.as_ref().map(|(class, _)| *class)))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.answer.error.as_ref().map(|(_, text)| text.as_str())))
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

/// Marks the delivery of an outcome as failed with the outcome's error, and counts no attempt.
pub(crate) async fn fail(
    conn: &mut pg::Connection,
    outcome: &Outcome,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    use webhook_deliveries::{claim, error_message, next_attempt_at, status, updated_at};
    let error = outcome.answer.error.as_ref().map(|(_, text)| text.as_str());
    diesel::update(webhook_deliveries::table.find(outcome.delivery_id))
        .filter(claim.eq(outcome.claim))
        .filter(status.eq(Status::Delivering.as_str()))
        .set((
            status.eq(Status::Failed.as_str()),
            next_attempt_at.eq(None::<OffsetDateTime>),
            error_message.eq(error),
            updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
