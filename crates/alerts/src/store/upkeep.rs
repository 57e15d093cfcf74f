//! Measurements and retention of alerts.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Double, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use pg::RetentionPolicy;
use time::OffsetDateTime;

/// Current state of the alerts.
#[derive(Debug, QueryableByName)]
pub(crate) struct Standing {
    /// Age in seconds of the oldest overdue delivery.
    #[diesel(sql_type = Double)]
    pub(crate) oldest_age: f64,
    /// Open warnings.
    #[diesel(sql_type = Double)]
    pub(crate) warnings: f64,
    /// Open critical alerts.
    #[diesel(sql_type = Double)]
    pub(crate) criticals: f64,
}

/// The state `now`, with the deliveries of these chats.
///
/// # Errors
/// The database's error.
pub(crate) async fn standing(
    conn: &mut pg::Connection,
    chats: &[i64],
    now: OffsetDateTime,
) -> Result<Standing, pg::Error> {
    let found = sql_query(
        "SELECT greatest(coalesce(extract(epoch FROM $2 - least( \
                 (SELECT min(not_before) FROM alert_deliveries \
                  WHERE chat_id = ANY($1) AND status IN ('pending', 'sending') AND not_before <= $2), \
                 (SELECT min(created_at) FROM alert_notices WHERE addressed_at IS NULL))), 0), 0)::float8 AS oldest_age, \
             count(*) FILTER (WHERE severity = 'warning')::float8 AS warnings, \
             count(*) FILTER (WHERE severity = 'critical')::float8 AS criticals \
         FROM alerts WHERE cleared_at IS NULL",
    )
    .bind::<Array<BigInt>, _>(chats)
    .bind::<Timestamptz, _>(now);
    Ok(found.get_result(conn).await?)
}

/// Deletes alerts that ended long ago, with their notices.
pub const RETENTION: RetentionPolicy = RetentionPolicy {
    what: "alerts",
    sql: "DELETE FROM alerts WHERE id IN ( \
              SELECT id FROM alerts \
              WHERE (cleared_at IS NOT NULL OR severity = 'info') AND coalesce(cleared_at, raised_at) < now() - $1 \
              ORDER BY coalesce(cleared_at, raised_at) LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(90 * 24),
};
