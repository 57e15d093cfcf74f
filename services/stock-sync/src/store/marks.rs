//! Which orders allegro-backup is to be told of, and how telling went.

use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::book::OperationRow;
use crate::domain::operation::{Kind, Operation, Status};

/// An order whose operations are claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) order_id: String,
    pub(crate) token_id: Uuid,
    /// What allegro-backup is to be told: that its stock is taken, or that it is not.
    pub(crate) is_taken: bool,
    pub(crate) operations: Vec<Uuid>,
    pub(crate) attempts: Vec<i32>,
    /// Tries that failed so far, of the operation that has most.
    pub(crate) retry_count: i32,
    pub(crate) max_retries: i32,
    /// Whoever claimed it before has not written down how telling went: its lease is over.
    pub(crate) was_left: bool,
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = SqlUuid)]
    token_id: Uuid,
    /// Of all operations of the order, claimed or not.
    #[diesel(sql_type = Array<Text>)]
    operation_types: Vec<String>,
    #[diesel(sql_type = Bool)]
    is_out: bool,
    #[diesel(sql_type = Array<SqlUuid>)]
    operations: Vec<Uuid>,
    #[diesel(sql_type = Array<Int4>)]
    attempts: Vec<i32>,
    #[diesel(sql_type = Int4)]
    retry_count: i32,
    #[diesel(sql_type = Int4)]
    max_retries: i32,
    #[diesel(sql_type = Bool)]
    was_left: bool,
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = pg::Error;

    fn try_from(row: ClaimedRow) -> Result<Self, pg::Error> {
        let id = || format!("of order {} of account {}", row.order_id, row.token_id);
        if row.operation_types.iter().any(|word| Kind::read(word).is_none()) {
            return Err(pg::Error::corrupt("pending_stock_operations", id(), "operation_type"));
        }
        Ok(Self {
            order_id: row.order_id,
            token_id: row.token_id,
            is_taken: row.is_out,
            operations: row.operations,
            attempts: row.attempts,
            retry_count: row.retry_count,
            max_retries: row.max_retries,
            was_left: row.was_left,
        })
    }
}

/// Claims at most `limit` orders that are due, until `lease_until`. An order is told of by one at a time. A claim that is
/// lost with the database's last moments is made again, so nobody waits until it is on the disk. An order that cannot be read
/// stays claimed until its lease ends.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    limit: i64,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
) -> Result<Vec<Result<Claimed, pg::Error>>, pg::Error> {
    // What another claims meanwhile is not due any more when its row is looked at again. Written so that each step looks up
    // by key the few rows of the step before: indexes of states and moments, which `IS TRUE` keeps out of these steps, are
    // full of what was claimed before.
    let statement = sql_query(
        "WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), \
         due AS MATERIALIZED ( \
             SELECT DISTINCT order_id FROM ( \
                 SELECT order_id FROM pending_stock_operations \
                 WHERE status IN ('pending', 'processing') AND coalesce(lease_until, next_retry_at) <= $2 \
                     AND token_id IS NOT NULL \
                 ORDER BY coalesce(lease_until, next_retry_at) LIMIT $1 * 4) AS first ORDER BY order_id), \
         free AS MATERIALIZED ( \
             SELECT locked.order_id, locked.was_left FROM due CROSS JOIN LATERAL ( \
                 SELECT s.order_id, ( \
                     SELECT count(*) FROM pending_stock_operations AS p \
                     WHERE p.order_id = s.order_id AND (p.status = 'processing') IS TRUE) > 0 AS was_left \
                 FROM order_states AS s \
                 WHERE s.order_id = due.order_id AND NOT EXISTS ( \
                     SELECT FROM pending_stock_operations AS p \
                     WHERE p.order_id = due.order_id AND (p.status = 'processing') IS TRUE AND p.lease_until > $2) \
                 FOR UPDATE SKIP LOCKED) AS locked LIMIT $1), \
         claimed AS ( \
             UPDATE pending_stock_operations AS o SET status = 'processing', attempt = attempt + 1, lease_until = $3, \
                 updated_at = $2 \
             WHERE o.id = ANY (ARRAY( \
                     SELECT p.id FROM free CROSS JOIN LATERAL ( \
                         SELECT id FROM pending_stock_operations WHERE order_id = free.order_id OFFSET 0) AS p)) \
                 AND o.token_id IS NOT NULL AND (o.status IN ('pending', 'processing')) IS TRUE \
                 AND (coalesce(o.lease_until, o.next_retry_at) <= $2) IS TRUE \
             RETURNING o.id, o.order_id, o.token_id, o.attempt, o.retry_count, o.max_retries) \
         SELECT order_id, token_id, array_agg(id) AS operations, array_agg(attempt) AS attempts, \
             max(retry_count) AS retry_count, min(max_retries) AS max_retries, bool_or(was_left) AS was_left, ARRAY( \
                 SELECT p.operation_type FROM pending_stock_operations AS p \
                 WHERE p.order_id = claimed.order_id AND p.token_id = claimed.token_id) AS operation_types, ( \
                 SELECT v.is_out FROM order_views AS v \
                 WHERE v.order_id = claimed.order_id AND v.token_id = claimed.token_id) IS TRUE AS is_out \
         FROM claimed JOIN free USING (order_id) CROSS JOIN quick GROUP BY order_id, token_id",
    )
    .bind::<BigInt, _>(limit)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease_until);
    let rows: Vec<ClaimedRow> = pg::prepared(statement).load(conn).await?;
    Ok(rows.into_iter().map(Claimed::try_from).collect())
}

/// How telling of one operation's order went.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) operation_id: Uuid,
    /// The claim it was told under: a record of an older one is dropped.
    pub(crate) attempt: i32,
    /// [`Status::Completed`], [`Status::Failed`], or [`Status::Pending`] for another try.
    pub(crate) status: Status,
    pub(crate) retry_count: i32,
    pub(crate) next_retry_at: Option<OffsetDateTime>,
    pub(crate) error_message: Option<String>,
}

/// What failed, and was told of again after it was claimed.
const AGAIN: &str = "u.status = 'failed' AND o.next_retry_at > o.updated_at";

/// Notes that orders were told of again while these operations of theirs are being told: one that fails is due once more
/// ([`record`]), and so is one that has failed meanwhile. A moment after the claim's says so, whosever clock is right.
pub(crate) async fn tell_again(
    conn: &mut pg::Connection,
    operations: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if operations.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "UPDATE pending_stock_operations SET next_retry_at = greatest($2, updated_at + interval '1 microsecond'), \
             status = CASE status WHEN 'failed' THEN 'pending' ELSE status END, \
             retry_count = CASE status WHEN 'failed' THEN 0 ELSE retry_count END \
         WHERE id = ANY ($1) AND status IN ('processing', 'failed')",
    )
    .bind::<Array<SqlUuid>, _>(operations)
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

/// Locks orders that are known, by id: whoever writes operations holds their order, or two of them wait for one another.
pub(crate) async fn lock(conn: &mut pg::Connection, orders: &[&str]) -> Result<(), pg::Error> {
    let statement =
        sql_query("SELECT FROM order_states WHERE order_id = ANY ($1) ORDER BY order_id FOR NO KEY UPDATE")
            .bind::<Array<Text>, _>(orders);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

/// Writes down how telling went, of orders that are locked. Returns the operations as they are now, but for those another has claimed since. One that
/// failed, of an order that was told of again meanwhile, is tried again with all its tries.
pub(crate) async fn record(
    conn: &mut pg::Connection,
    told: &[Told],
    now: OffsetDateTime,
) -> Result<Vec<Operation>, pg::Error> {
    let statement = sql_query(format!(
        "UPDATE pending_stock_operations AS o SET lease_until = NULL, version = version + 1, updated_at = $7, \
             status = CASE WHEN {AGAIN} THEN 'pending' ELSE u.status END, \
             retry_count = CASE WHEN {AGAIN} THEN 0 ELSE u.retry_count END, \
             next_retry_at = CASE WHEN {AGAIN} THEN $7 ELSE u.next_retry_at END, error_message = u.error_message, \
             synced_at = CASE WHEN u.status = 'completed' THEN $7 END, \
             completed_at = CASE WHEN u.status = 'completed' THEN $7 END \
         FROM unnest($1, $2, $3, $4, $5, $6) AS u (id, attempt, status, retry_count, next_retry_at, error_message) \
         WHERE o.id = u.id AND o.attempt = u.attempt AND o.status = 'processing' RETURNING {}",
        OperationRow::columns("o"),
    ))
    .bind::<Array<SqlUuid>, _>(told.iter().map(|it| it.operation_id).collect::<Vec<_>>())
    .bind::<Array<Int4>, _>(told.iter().map(|it| it.attempt).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(told.iter().map(|it| it.status.word()).collect::<Vec<_>>())
    .bind::<Array<Int4>, _>(told.iter().map(|it| it.retry_count).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(told.iter().map(|it| it.next_retry_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(told.iter().map(|it| it.error_message.as_deref()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    let rows: Vec<OperationRow> = pg::prepared(statement).load(conn).await?;
    rows.into_iter().map(Operation::try_from).collect()
}

/// Makes flags due that wait for a request about their order to end.
pub(crate) async fn release(
    conn: &mut pg::Connection,
    orders: &[&str],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if orders.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "UPDATE pending_stock_operations SET next_retry_at = $2 WHERE order_id = ANY ($1) AND status = 'pending' \
             AND retry_count = 0 AND next_retry_at > $2",
    )
    .bind::<Array<Text>, _>(orders)
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}
