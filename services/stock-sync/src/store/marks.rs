//! Which orders allegro-backup is to be told of, and how telling went.

use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::book::OperationRow;
use crate::domain::operation::Operation;

/// An order whose operations are claimed.
#[derive(Debug, QueryableByName)]
pub(crate) struct Claimed {
    #[diesel(sql_type = Text)]
    pub(crate) order_id: String,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) token_id: Uuid,
    /// What allegro-backup is to be told: that its stock is taken, or that it is not.
    #[diesel(sql_type = Bool)]
    pub(crate) is_taken: bool,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub(crate) operations: Vec<Uuid>,
    #[diesel(sql_type = Array<Int4>)]
    pub(crate) attempts: Vec<i32>,
    /// Tries that failed so far, of the operation that has most.
    #[diesel(sql_type = Int4)]
    pub(crate) retry_count: i32,
    #[diesel(sql_type = Int4)]
    pub(crate) max_retries: i32,
}

/// Claims at most `limit` orders that are due, until `lease_until`. An order is told of by one at a time.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    limit: i64,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
) -> Result<Vec<Claimed>, pg::Error> {
    // What another claims meanwhile is not due any more when its row is looked at again.
    let statement = sql_query(
        "WITH due AS ( \
             SELECT order_id, token_id FROM pending_stock_operations \
             WHERE status IN ('pending', 'processing') AND coalesce(lease_until, next_retry_at) <= $2 \
                 AND token_id IS NOT NULL \
             ORDER BY coalesce(lease_until, next_retry_at) LIMIT $1 * 4), \
         free AS ( \
             SELECT order_id FROM order_states AS s \
             WHERE order_id IN (SELECT order_id FROM due) AND NOT EXISTS ( \
                 SELECT FROM pending_stock_operations AS p \
                 WHERE p.order_id = s.order_id AND p.status = 'processing' AND p.lease_until > $2) \
             ORDER BY order_id LIMIT $1 FOR UPDATE SKIP LOCKED), \
         claimed AS ( \
             UPDATE pending_stock_operations AS o SET status = 'processing', attempt = attempt + 1, lease_until = $3, \
                 updated_at = $2 \
             FROM free WHERE o.order_id = free.order_id AND o.token_id IS NOT NULL \
                 AND o.status IN ('pending', 'processing') AND coalesce(o.lease_until, o.next_retry_at) <= $2 \
             RETURNING o.id, o.order_id, o.token_id, o.attempt, o.retry_count, o.max_retries) \
         SELECT order_id, token_id, array_agg(id) AS operations, array_agg(attempt) AS attempts, \
             max(retry_count) AS retry_count, min(max_retries) AS max_retries, NOT EXISTS ( \
                 SELECT FROM pending_stock_operations AS p \
                 WHERE p.order_id = c.order_id AND p.token_id = c.token_id \
                     AND p.operation_type = 'refund') AS is_taken \
         FROM claimed AS c GROUP BY order_id, token_id",
    )
    .bind::<BigInt, _>(limit)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until);
    Ok(statement.load(conn).await?)
}

/// How telling of one operation's order went.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) operation_id: Uuid,
    /// The claim it was told under: a record of an older one is dropped.
    pub(crate) attempt: i32,
    /// `completed`, `failed`, or `pending` for another try.
    pub(crate) status: &'static str,
    pub(crate) retry_count: i32,
    pub(crate) next_retry_at: Option<OffsetDateTime>,
    pub(crate) error_message: Option<String>,
}

/// Writes down how telling went. Returns the operations as they are now, but for those another has claimed since.
pub(crate) async fn record(
    conn: &mut pg::Connection,
    told: &[Told],
    now: OffsetDateTime,
) -> Result<Vec<Operation>, pg::Error> {
    let rows: Vec<OperationRow> = sql_query(format!(
        "UPDATE pending_stock_operations AS o SET status = u.status, retry_count = u.retry_count, \
             next_retry_at = u.next_retry_at, error_message = u.error_message, lease_until = NULL, \
             version = version + 1, updated_at = $7, \
             synced_at = CASE WHEN u.status = 'completed' THEN $7 END, \
             completed_at = CASE WHEN u.status = 'completed' THEN $7 END \
         FROM unnest($1, $2, $3, $4, $5, $6) AS u (id, attempt, status, retry_count, next_retry_at, error_message) \
         WHERE o.id = u.id AND o.attempt = u.attempt AND o.status = 'processing' RETURNING {}",
        OperationRow::columns("o"),
    ))
    .bind::<Array<SqlUuid>, _>(told.iter().map(|it| it.operation_id).collect::<Vec<_>>())
    .bind::<Array<Int4>, _>(told.iter().map(|it| it.attempt).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(told.iter().map(|it| it.status).collect::<Vec<_>>())
    .bind::<Array<Int4>, _>(told.iter().map(|it| it.retry_count).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(told.iter().map(|it| it.next_retry_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(told.iter().map(|it| it.error_message.as_deref()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .load(conn)
    .await?;
    Ok(rows.into_iter().filter_map(OperationRow::read).collect())
}

/// Lets refunds go that wait for a question about their order to end.
pub(crate) async fn release(
    conn: &mut pg::Connection,
    orders: &[&str],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if orders.is_empty() {
        return Ok(());
    }
    sql_query(
        "UPDATE pending_stock_operations SET next_retry_at = $2 WHERE order_id = ANY ($1) AND status = 'pending' \
             AND operation_type = 'refund' AND retry_count = 0 AND next_retry_at > $2",
    )
    .bind::<Array<Text>, _>(orders)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
