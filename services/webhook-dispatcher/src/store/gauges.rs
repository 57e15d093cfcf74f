//! Counts for gauges. Their labels are bounded and never an id.

use diesel::sql_types::{BigInt, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

/// Unfinished deliveries of one subscription.
#[derive(Debug, QueryableByName)]
pub(crate) struct Waiting {
    #[diesel(sql_type = BigInt)]
    pub(crate) open: i64,
    /// When the oldest is due.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) due: OffsetDateTime,
}

/// Subscriptions in one state.
#[derive(Debug, QueryableByName)]
pub(crate) struct Circuit {
    #[diesel(sql_type = Text)]
    pub(crate) state: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}

/// Unfinished deliveries of each subscription that has some, the largest number first.
pub(crate) async fn backlog(conn: &mut pg::Connection) -> Result<Vec<Waiting>, pg::Error> {
    let statement = sql_query(
        "SELECT count(*) AS open, min(next_attempt_at) AS due FROM webhook_deliveries \
         WHERE status IN ('pending', 'delivering') GROUP BY subscription_id ORDER BY open DESC",
    );
    Ok(statement.load(conn).await?)
}

/// Subscriptions by the state of their circuit: `closed`, `open` and `half_open` of active ones, and `off`.
pub(crate) async fn circuits(conn: &mut pg::Connection) -> Result<Vec<Circuit>, pg::Error> {
    let statement = sql_query(
        "SELECT states.state, count(s.id) FROM unnest(ARRAY['closed', 'open', 'half_open', 'off']) AS states (state) \
         LEFT JOIN webhook_subscriptions s ON s.deleted_at IS NULL \
             AND CASE WHEN s.is_active THEN s.circuit_state ELSE 'off' END = states.state GROUP BY states.state",
    );
    Ok(statement.load(conn).await?)
}
