//! Deletes old payloads, attempts and deliveries. A delivery is deleted only in a final status, and counted in
//! `delivery_totals` in the same transaction.
//!
//! Each step processes a bounded number of rows in the order of an index and returns where it stopped, so that neither its
//! locks nor its time grow with the table. Ids of deliveries and attempts grow with time: no further index is needed.

use diesel::prelude::{ExpressionMethods, QueryDsl, QueryableByName};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::redelivery::At;
use super::schema::{delivery_attempts, messages, webhook_deliveries};

#[derive(QueryableByName)]
#[diesel(table_name = messages)]
struct Message {
    id: Uuid,
    received_at: OffsetDateTime,
}

/// How a step among deliveries ended.
#[derive(Debug)]
pub(crate) struct DeliveryStep {
    pub(crate) last: Option<Uuid>,
    pub(crate) deleted: i64,
}

#[derive(QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
struct Delivery {
    id: Uuid,
    message_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_old: bool,
    #[diesel(sql_type = Bool)]
    has_ended: bool,
}

/// How a step among attempts ended.
#[derive(Debug, QueryableByName)]
pub(crate) struct AttemptStep {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_delivery: Option<Uuid>,
    #[diesel(sql_type = Nullable<Int4>)]
    last_attempt: Option<i32>,
    #[diesel(sql_type = BigInt)]
    pub(crate) deleted: i64,
}

/// Deletes the payloads of the next `limit` messages received before `cutoff`, and those messages that have no delivery.
/// Returns where it stopped; none at the end.
pub(crate) async fn expunge(
    conn: &mut pg::Connection,
    cutoff: OffsetDateTime,
    after: At,
    limit: i64,
) -> Result<Option<At>, pg::Error> {
    let locked: Vec<Message> = sql_query(
        "SELECT id, received_at FROM messages \
         WHERE body IS NOT NULL AND received_at < $1 AND (received_at, id) > ($2, $3) \
         ORDER BY received_at, id LIMIT $4 FOR UPDATE",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<Timestamptz, _>(after.0)
    .bind::<SqlUuid, _>(after.1)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    let Some(last) = locked.last().map(|it| (it.received_at, it.id)) else { return Ok(None) };
    let ids: Vec<Uuid> = locked.iter().map(|it| it.id).collect();
    // Only a statement that begins after the rows are locked sees every delivery that was retried before.
    sql_query(
        "UPDATE messages m SET body = NULL WHERE m.id = ANY($1) AND NOT EXISTS ( \
             SELECT 1 FROM webhook_deliveries d WHERE d.message_id = m.id AND d.status IN ('pending', 'delivering'))",
    )
    .bind::<Array<SqlUuid>, _>(&ids)
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM messages m WHERE m.id = ANY($1) AND NOT EXISTS ( \
             SELECT 1 FROM webhook_deliveries d WHERE d.message_id = m.id)",
    )
    .bind::<Array<SqlUuid>, _>(&ids)
    .execute(conn)
    .await?;
    Ok(Some(last))
}

impl AttemptStep {
    /// Where it stopped: at this attempt of this delivery; none at the end.
    pub(crate) fn last(&self) -> Option<(Uuid, i32)> {
        self.last_delivery.zip(self.last_attempt)
    }
}

/// Deletes those of the next `limit` attempts that were made before `cutoff` and whose delivery has a final status. They are
/// read in the order of their deliveries: once those are younger than `cutoff`, so is everything that follows.
pub(crate) async fn delete_attempts(
    conn: &mut pg::Connection,
    cutoff: OffsetDateTime,
    after: (Uuid, i32),
    limit: i64,
) -> Result<AttemptStep, pg::Error> {
    let statement = sql_query(
        "WITH next AS ( \
             SELECT delivery_id, attempt, attempted_at FROM delivery_attempts \
             WHERE (delivery_id, attempt) > ($2, $3) ORDER BY delivery_id, attempt LIMIT $4), \
         seen AS ( \
             SELECT next.*, d.created_at, d.status FROM next JOIN webhook_deliveries d ON d.id = next.delivery_id), \
         gone AS ( \
             DELETE FROM delivery_attempts a USING seen \
             WHERE a.delivery_id = seen.delivery_id AND a.attempt = seen.attempt AND seen.attempted_at < $1 \
                 AND seen.status NOT IN ('pending', 'delivering') RETURNING 1) \
         SELECT last.delivery_id AS last_delivery, last.attempt AS last_attempt, \
             (SELECT count(*) FROM gone) AS deleted \
         FROM (SELECT min(created_at) < $1 AS is_old FROM seen) AS step LEFT JOIN ( \
             SELECT delivery_id, attempt FROM next ORDER BY delivery_id DESC, attempt DESC LIMIT 1) AS last ON is_old",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<SqlUuid, _>(after.0)
    .bind::<Int4, _>(after.1)
    .bind::<BigInt, _>(limit);
    Ok(statement.get_result(conn).await?)
}

/// Deletes those of the next `limit` deliveries that were created and ended before `cutoff`, with their attempts and the
/// messages that have no other delivery, and adds their statuses to `delivery_totals`.
pub(crate) async fn delete_deliveries(
    conn: &mut pg::Connection,
    cutoff: OffsetDateTime,
    after: Uuid,
    limit: i64,
) -> Result<DeliveryStep, pg::Error> {
    // A row that another transaction is writing is young. The next run reads it.
    let next: Vec<Delivery> = sql_query(
        "SELECT d.id, d.message_id, d.created_at < $1 AS is_old, \
             d.updated_at < $1 AND d.status NOT IN ('pending', 'delivering') AS has_ended \
         FROM webhook_deliveries d WHERE d.id > $2 ORDER BY d.id LIMIT $3 FOR UPDATE SKIP LOCKED",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<SqlUuid, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    let old = next.iter().filter(|it| it.is_old && it.has_ended);
    let (ids, messages): (Vec<Uuid>, Vec<Uuid>) = old.map(|it| (it.id, it.message_id)).unzip();
    let last = next.last().filter(|_| next.iter().any(|it| it.is_old)).map(|it| it.id);
    let deleted = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    diesel::delete(delivery_attempts::table.filter(delivery_attempts::delivery_id.eq_any(&ids)))
        .execute(conn)
        .await?;
    sql_query(
        "WITH gone AS (DELETE FROM webhook_deliveries WHERE id = ANY($1) RETURNING subscription_id, status) \
         INSERT INTO delivery_totals (subscription_id, outcome, count) \
         SELECT subscription_id, status, count(*) FROM gone GROUP BY subscription_id, status \
         ORDER BY subscription_id, status \
         ON CONFLICT (subscription_id, outcome) DO UPDATE SET count = delivery_totals.count + excluded.count",
    )
    .bind::<Array<SqlUuid>, _>(&ids)
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM messages m WHERE m.id = ANY($1) AND m.received_at < $2 AND NOT EXISTS ( \
             SELECT 1 FROM webhook_deliveries d WHERE d.message_id = m.id)",
    )
    .bind::<Array<SqlUuid>, _>(&messages)
    .bind::<Timestamptz, _>(cutoff)
    .execute(conn)
    .await?;
    Ok(DeliveryStep { last, deleted })
}
