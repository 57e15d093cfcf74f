//! How much is under way, done and given up.

use diesel::sql_types::{BigInt, Double, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

/// Operations counted.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Statistics {
    #[diesel(sql_type = BigInt)]
    pub(crate) pending: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) failed: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) completed: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) stale: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub(crate) oldest_pending_seconds: Option<f64>,
    /// Of what was completed, how much of it at the first try: 0 to 1.
    #[diesel(sql_type = Nullable<Double>)]
    pub(crate) first_try_rate: Option<f64>,
    /// How long what was not took, on average.
    #[diesel(sql_type = Nullable<Double>)]
    pub(crate) mean_retry_seconds: Option<f64>,
}

/// Which operations are counted, and as what.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) now: OffsetDateTime,
    /// Completed from then on, and before then.
    pub(crate) from: OffsetDateTime,
    pub(crate) to: OffsetDateTime,
    /// Under way since before then is stuck.
    pub(crate) stale_before: OffsetDateTime,
}

/// Counts a user's operations, or everybody's.
pub(crate) async fn count(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
    window: &Window,
) -> Result<Statistics, pg::Error> {
    let counted = sql_query(
        "WITH live AS ( \
             SELECT status, created_at, \
                 operation_type = 'refund' AND status = 'pending' AND deducted_at IS NULL AS is_asked \
             FROM pending_stock_operations \
             WHERE status IN ('pending', 'processing', 'failed') AND ($1 IS NULL OR user_id = $1)), \
         done AS ( \
             SELECT retry_count, completed_at - coalesce(deducted_at, created_at) AS took FROM pending_stock_operations \
             WHERE status = 'completed' AND updated_at >= $2 AND completed_at >= $2 AND completed_at < $3 AND ($1 IS NULL OR user_id = $1)), \
         open AS (SELECT created_at FROM live WHERE status <> 'failed' AND NOT is_asked) \
         SELECT (SELECT count(*) FROM open) AS pending, \
             (SELECT count(*) FROM live WHERE status = 'failed') AS failed, \
             (SELECT count(*) FROM done) AS completed, \
             (SELECT count(*) FROM open WHERE created_at < $4) AS stale, \
             (SELECT greatest(extract(epoch FROM $5 - min(created_at)), 0)::float8 FROM open) AS oldest_pending_seconds, \
             (SELECT avg((retry_count = 0)::int)::float8 FROM done) AS first_try_rate, \
             (SELECT avg(extract(epoch FROM took))::float8 FROM done WHERE retry_count > 0) AS mean_retry_seconds",
    )
    .bind::<Nullable<Text>, _>(user_id)
    .bind::<Timestamptz, _>(window.from)
    .bind::<Timestamptz, _>(window.to)
    .bind::<Timestamptz, _>(window.stale_before)
    .bind::<Timestamptz, _>(window.now);
    Ok(counted.get_result(conn).await?)
}

/// Tries at allegro-backup.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(crate) struct Tries {
    #[diesel(sql_type = BigInt)]
    pub(crate) all: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) failed: i64,
}

/// How tries went since then.
pub(crate) async fn tries(conn: &mut pg::Connection, since: OffsetDateTime) -> Result<Tries, pg::Error> {
    let counted = sql_query(
        "SELECT count(*) AS all, count(*) FILTER (WHERE action <> 'sync_success') AS failed \
         FROM stock_synchronization_logs \
         WHERE timestamp >= $1 AND action IN ('sync_success', 'sync_failed', 'sync_error')",
    )
    .bind::<Timestamptz, _>(since);
    Ok(counted.get_result(conn).await?)
}

/// Things that are there in one state or of one kind.
#[derive(Debug, QueryableByName)]
pub(crate) struct Group {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}

/// Operations that are not over, by state.
pub(crate) async fn by_state(conn: &mut pg::Connection) -> Result<Vec<Group>, pg::Error> {
    let counted = sql_query(
        "SELECT states.name, count(o.id) FROM unnest(ARRAY['pending', 'processing', 'failed']) AS states (name) \
         LEFT JOIN pending_stock_operations AS o ON o.status = states.name AND o.status <> 'completed' \
             AND NOT (o.operation_type = 'refund' AND o.status = 'pending' AND o.deducted_at IS NULL) \
         GROUP BY states.name",
    );
    Ok(counted.load(conn).await?)
}

/// Lines without a SKU that wait for people.
pub(crate) async fn without_sku(conn: &mut pg::Connection) -> Result<i64, pg::Error> {
    let counted = sql_query(
        "SELECT 'without_sku' AS name, count(*) FROM pending_stock_operations WHERE status = 'failed' AND sku IS NULL",
    );
    let counted: Group = counted.get_result(conn).await?;
    Ok(counted.count)
}

/// Levels at their threshold or below.
pub(crate) async fn low_levels(conn: &mut pg::Connection) -> Result<i64, pg::Error> {
    let counted: Group =
        sql_query("SELECT 'low' AS name, count(*) FROM stock_levels WHERE is_low").get_result(conn).await?;
    Ok(counted.count)
}
