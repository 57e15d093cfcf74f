//! What the inbox remembers, and for how long.

use std::time::Duration;

use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use domain::Chain;
use tokio_util::sync::CancellationToken;

/// The inbox remembers for 14 days: a fact told no longer ago than this is still known after a day on its way.
pub(crate) const CERTAIN: Duration = Duration::from_hours(13 * 24);

/// Rows deleted in one statement: none holds locks for long.
const BATCH: i64 = 5000;
/// How often the inbox is looked through.
const PERIOD: Duration = Duration::from_hours(1);

/// Facts that come again later than this are taken for new; no queue of ours keeps one that long.
const FORGET: &str = "DELETE FROM inbox WHERE (consumer, event_id) IN (\
         SELECT consumer, event_id FROM inbox WHERE received_at < now() - interval '14 days' \
         ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED)";

/// Forgets what is older than 14 days, at once and then every hour until `stop`. Replicas may do so side by side.
pub(crate) async fn forget_old(pool: &pg::Pool, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match forget_some(pool).await {
            Ok(count) if i64::try_from(count).is_ok_and(|count| count == BATCH) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %Chain(&error), "old rows of the inbox stay for now"),
        }
        // What was told to stop needs no rest.
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
    }
}

async fn forget_some(pool: &pg::Pool) -> Result<usize, pg::Error> {
    let mut conn = pool.get().await?;
    Ok(sql_query(FORGET).bind::<BigInt, _>(BATCH).execute(&mut *conn).await?)
}
