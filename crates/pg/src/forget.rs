//! What is old is forgotten: one mechanism for every table that would grow for ever.

use std::time::Duration;

use diesel::data_types::PgInterval;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Interval};
use diesel_async::RunQueryDsl;
use domain::{Chain, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::{Error, Pool};

/// Rows deleted in one statement, at most: none holds locks for long.
const BATCH: i64 = 1000;
/// How often old rows are looked for.
const PERIOD: Duration = Duration::from_hours(1);

/// Rows nobody needs once they are old. The crate that owns a table says so of it.
#[derive(Debug, Clone, Copy)]
pub struct Forget {
    /// What they are, in a word: a label of the metric.
    pub what: &'static str,
    /// Deletes rows that are older than `$1`, an interval, by the database's clock: at most `$2` of them, the oldest
    /// first, without waiting for rows that others hold.
    pub sql: &'static str,
    /// How old they get.
    pub keep: Duration,
}

impl Forget {
    /// Deletes all rows that are too old, in small steps, and returns how many it were. Ends early at `stop`.
    ///
    /// # Errors
    /// The database's; what was deleted before stays deleted.
    pub async fn once(&self, pool: &Pool, stop: &CancellationToken) -> Result<u64, Error> {
        let keep = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        let (limit, mut all) = (u64::try_from(BATCH).unwrap_or_default(), 0);
        while !stop.is_cancelled() {
            let mut conn = pool.get().await?;
            let deleted = sql_query(self.sql)
                .bind::<Interval, _>(PgInterval::from_microseconds(keep))
                .bind::<BigInt, _>(BATCH)
                .execute(&mut *conn)
                .await?;
            let deleted = u64::try_from(deleted).unwrap_or_default();
            metrics::counter!("housekeeping_deleted_total", "what" => self.what).increment(deleted);
            all += deleted;
            if deleted < limit {
                break;
            }
        }
        Ok(all)
    }
}

/// Forgets what is old, at once and then every hour until `stop`. Any number of replicas may do so side by side: each row
/// is deleted by one of them.
pub async fn housekeeping(pool: Pool, forgets: Vec<Forget>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for forget in &forgets {
            match panic_as_error(forget.once(&pool, &stop)).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(what = forget.what, rows, "old rows were deleted"),
                Err(error) => {
                    tracing::warn!(what = forget.what, error = %Chain(&error), "old rows stay for now");
                }
            }
        }
        // What was told to stop needs no rest.
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
    }
}
