//! Writing down how attempts ended, many at once.

use diesel::sql_query;
use diesel::sql_types::{Array, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) delivery_id: Uuid,
    pub(crate) subscription_id: Uuid,
    /// The claim it was made under: an outcome of an older one is refused.
    pub(crate) claim: i32,
    /// Which attempt; 0 when none was made.
    pub(crate) attempt: i32,
    pub(crate) attempted_at: OffsetDateTime,
    pub(crate) duration_ms: i32,
    /// `success`, `failed`, `cancelled`, or `pending` for another try.
    pub(crate) status: &'static str,
    pub(crate) next_attempt_at: Option<OffsetDateTime>,
    pub(crate) response_status: Option<i32>,
    pub(crate) response_body: Option<String>,
    pub(crate) error_class: Option<&'static str>,
    pub(crate) error_message: Option<String>,
    /// The receiver wants no more (410).
    pub(crate) is_gone: bool,
}

struct Columns<'a>(&'a [Outcome]);

impl<'a> Columns<'a> {
    fn of<T>(&self, column: impl Fn(&'a Outcome) -> T) -> Vec<T> {
        self.0.iter().map(column).collect()
    }
}

/// Writes outcomes and their attempts in one statement; those of a claim that is not the current one any more are
/// dropped. Then disables subscriptions whose receiver is gone.
pub(crate) async fn record(
    conn: &mut pg::Connection,
    outcomes: &[Outcome],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    let columns = Columns(outcomes);
    sql_query(
        "WITH u AS ( \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                 AS u (id, claim, attempt, attempted_at, duration_ms, status, next_attempt_at, response_status, \
                       response_body, error_class, error_message)), \
         recorded AS ( \
             UPDATE webhook_deliveries AS d SET status = u.status, attempts = greatest(d.attempts, u.attempt), \
                 next_attempt_at = u.next_attempt_at, response_status = u.response_status, \
                 response_body = u.response_body, error_message = u.error_message, updated_at = $12, \
                 delivered_at = CASE WHEN u.status = 'success' THEN u.attempted_at END \
             FROM u WHERE d.id = u.id AND d.claim = u.claim AND d.status = 'delivering' RETURNING d.id) \
         INSERT INTO delivery_attempts (delivery_id, attempt, attempted_at, duration_ms, response_status, \
             response_body, error_class, error_message) \
         SELECT u.id, u.attempt, u.attempted_at, u.duration_ms, u.response_status, u.response_body, u.error_class, \
             u.error_message \
         FROM u JOIN recorded USING (id) WHERE u.attempt > 0",
    )
    .bind::<Array<SqlUuid>, _>(columns.of(|it| it.delivery_id))
    .bind::<Array<Int4>, _>(columns.of(|it| it.claim))
    .bind::<Array<Int4>, _>(columns.of(|it| it.attempt))
    .bind::<Array<Timestamptz>, _>(columns.of(|it| it.attempted_at))
    .bind::<Array<Int4>, _>(columns.of(|it| it.duration_ms))
    .bind::<Array<Text>, _>(columns.of(|it| it.status))
    .bind::<Array<Nullable<Timestamptz>>, _>(columns.of(|it| it.next_attempt_at))
    .bind::<Array<Nullable<Int4>>, _>(columns.of(|it| it.response_status))
    .bind::<Array<Nullable<Text>>, _>(columns.of(|it| it.response_body.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(columns.of(|it| it.error_class))
    .bind::<Array<Nullable<Text>>, _>(columns.of(|it| it.error_message.as_deref()))
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    let gone: Vec<&Outcome> = outcomes.iter().filter(|it| it.is_gone).collect();
    if gone.is_empty() {
        return Ok(());
    }
    // Unless its owner has changed it since: then another receiver was meant.
    sql_query(
        "UPDATE webhook_subscriptions AS s SET is_active = false, disabled_at = $3, updated_at = $3, \
             disabled_reason = 'the receiver answered 410 Gone' \
         FROM unnest($1, $2) AS u (id, attempted_at) \
         WHERE s.id = u.id AND s.is_active AND s.updated_at <= u.attempted_at",
    )
    .bind::<Array<SqlUuid>, _>(gone.iter().map(|it| it.subscription_id).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(gone.iter().map(|it| it.attempted_at).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
