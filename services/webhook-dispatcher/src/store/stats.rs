//! Statistics of a subscription's deliveries.

use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::SubscriptionId;
use time::OffsetDateTime;

/// The number of deliveries with one status, or of filtered events.
#[derive(Debug, QueryableByName)]
pub(crate) struct OutcomeCount {
    #[diesel(sql_type = Text)]
    pub(crate) outcome: String,
    /// Since the subscription was created, deleted ones included.
    #[diesel(sql_type = BigInt)]
    pub(crate) ever: i64,
    /// Created since the given time.
    #[diesel(sql_type = BigInt)]
    pub(crate) lately: i64,
}

/// Statistics of a subscription's deliveries.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) outcomes: Vec<OutcomeCount>,
    pub(crate) times: Times,
}

/// Ages and durations.
#[derive(Debug, QueryableByName)]
pub(crate) struct Times {
    /// When the oldest unfinished delivery was created.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) oldest_pending_at: Option<OffsetDateTime>,
    /// Median time from event to answer of recent successful deliveries.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) p50_ms: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) p99_ms: Option<i64>,
}

/// The most deliveries whose durations are read: the newest.
const SAMPLE: i64 = 10_000;

pub(crate) async fn of(
    conn: &mut pg::Connection,
    id: SubscriptionId,
    since: OffsetDateTime,
) -> Result<Stats, pg::Error> {
    let outcomes = sql_query(
        "SELECT outcome, sum(ever)::bigint AS ever, sum(lately)::bigint AS lately FROM ( \
             SELECT outcome, count AS ever, 0::bigint AS lately FROM delivery_totals WHERE subscription_id = $1 \
             UNION ALL \
             SELECT status, count(*), count(*) FILTER (WHERE created_at >= $2) FROM webhook_deliveries \
             WHERE subscription_id = $1 GROUP BY status) AS both_kinds \
         GROUP BY outcome ORDER BY outcome",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(since)
    .load(conn)
    .await?;
    let times = sql_query(
        "SELECT (SELECT min(created_at) FROM webhook_deliveries \
                 WHERE subscription_id = $1 AND status IN ('pending', 'delivering')) AS oldest_pending_at, \
             percentile_disc(0.5) WITHIN GROUP (ORDER BY took) AS p50_ms, \
             percentile_disc(0.99) WITHIN GROUP (ORDER BY took) AS p99_ms \
         FROM (SELECT (extract(epoch FROM d.delivered_at - m.occurred_at) * 1000)::bigint AS took \
               FROM webhook_deliveries d JOIN messages m ON m.id = d.message_id \
               WHERE d.subscription_id = $1 AND d.status = 'success' AND d.created_at >= $2 \
               ORDER BY d.created_at DESC LIMIT $3) AS lately",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(since)
    .bind::<BigInt, _>(SAMPLE)
    .get_result(conn)
    .await?;
    Ok(Stats { outcomes, times })
}
