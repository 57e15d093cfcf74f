//! What waits, in numbers whose labels are bounded: never an id.

use diesel::sql_types::{BigInt, Double, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

/// What waits to be delivered.
#[derive(Debug, QueryableByName)]
pub(crate) struct Backlog {
    #[diesel(sql_type = BigInt)]
    pub(crate) open: i64,
    /// Subscriptions that something waits for.
    #[diesel(sql_type = BigInt)]
    pub(crate) endpoints: i64,
    /// What waits for the one with the most.
    #[diesel(sql_type = BigInt)]
    pub(crate) largest: i64,
    /// Seconds since the oldest was due.
    #[diesel(sql_type = Double)]
    pub(crate) oldest_due_seconds: f64,
}

/// Subscriptions in one state.
#[derive(Debug, QueryableByName)]
pub(crate) struct Circuit {
    #[diesel(sql_type = Text)]
    pub(crate) state: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}

pub(crate) async fn backlog(conn: &mut pg::Connection, now: OffsetDateTime) -> Result<Backlog, pg::Error> {
    let statement = sql_query(
        "SELECT coalesce(sum(open), 0)::bigint AS open, count(*) AS endpoints, coalesce(max(open), 0) AS largest, \
             greatest(coalesce(extract(epoch FROM $1 - min(due)), 0), 0)::float8 AS oldest_due_seconds \
         FROM (SELECT subscription_id, count(*) AS open, min(next_attempt_at) AS due FROM webhook_deliveries \
               WHERE status IN ('pending', 'delivering') GROUP BY subscription_id) AS waiting",
    )
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}

/// Subscriptions by what is done to them: `closed`, `open`, `half_open`, or `off`.
pub(crate) async fn circuits(conn: &mut pg::Connection) -> Result<Vec<Circuit>, pg::Error> {
    let statement = sql_query(
        "SELECT states.state, count(s.id) FROM unnest(ARRAY['closed', 'open', 'half_open', 'off']) AS states (state) \
         LEFT JOIN webhook_subscriptions s ON s.deleted_at IS NULL \
             AND CASE WHEN s.is_active THEN s.circuit_state ELSE 'off' END = states.state GROUP BY states.state",
    );
    Ok(statement.load(conn).await?)
}
