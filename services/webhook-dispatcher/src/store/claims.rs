//! Claiming what is due: any number of replicas, each row to one of them.

use diesel::sql_types::{Array, BigInt, Bytea, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// A delivery in this process's hands.
#[derive(Debug, QueryableByName)]
pub(crate) struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) subscription_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) message_id: Uuid,
    #[diesel(sql_type = Bytea)]
    pub(crate) body: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) traceparent: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) tracestate: Option<String>,
    #[diesel(sql_type = Int4)]
    pub(crate) attempts: i32,
    #[diesel(sql_type = Int4)]
    pub(crate) attempts_before: i32,
    #[diesel(sql_type = Int4)]
    pub(crate) claim: i32,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) next_attempt_at: OffsetDateTime,
}

/// Claims what is due, oldest first, leaving out subscriptions that have enough in hand. A delivery whose lease has
/// ended is due: whoever had it is dead. `margin` is added to each subscription's own timeout.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    saturated: &[Uuid],
    limit: i64,
    margin_seconds: i32,
    now: OffsetDateTime,
) -> Result<Vec<Claimed>, pg::Error> {
    let statement = sql_query(
        "WITH due AS ( \
             SELECT id FROM webhook_deliveries \
             WHERE status IN ('pending', 'delivering') AND next_attempt_at <= $1 AND subscription_id <> ALL($2) \
             ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
         UPDATE webhook_deliveries AS d SET status = 'delivering', claim = d.claim + 1, updated_at = $1, \
             next_attempt_at = $1 + (s.timeout_seconds + $4) * interval '1 second' \
         FROM due, webhook_subscriptions s, messages m \
         WHERE d.id = due.id AND s.id = d.subscription_id AND m.id = d.message_id \
         RETURNING d.id, d.subscription_id, d.message_id, m.body, m.traceparent, m.tracestate, d.attempts, d.attempts_before, \
             d.claim, d.next_attempt_at",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Array<SqlUuid>, _>(saturated)
    .bind::<BigInt, _>(limit)
    .bind::<Int4, _>(margin_seconds);
    Ok(statement.load(conn).await?)
}
