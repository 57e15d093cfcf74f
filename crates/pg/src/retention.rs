//! Deletes old rows of tables that would grow for ever.

use std::time::Duration;

use diesel::data_types::PgInterval;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Interval};
use diesel_async::RunQueryDsl;
use domain::{Chain, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::{Error, Pool};

/// Maximum number of rows that one statement deletes, so that it does not hold locks for long.
const BATCH: i64 = 1000;
/// Time between two searches for old rows.
const PERIOD: Duration = Duration::from_hours(1);

/// How long the rows of one table are retained. The crate that owns the table declares it.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPolicy {
    /// A word for the rows: the label `what` of the metric.
    pub what: &'static str,
    /// Deletes rows that are older than `$1`, an interval, by the database's clock: at most `$2` of them, the oldest
    /// first, without waiting for rows that others hold.
    pub sql: &'static str,
    /// The age at which rows are deleted.
    pub keep: Duration,
}

impl RetentionPolicy {
    /// Deletes all rows that are too old, in batches, and returns their number. Ends early at `stop`.
    ///
    /// # Errors
    /// When the database fails. Earlier batches stay deleted.
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

/// Applies the policies now and then every hour, until `stop`. Any number of replicas may run it: one of them deletes each row.
pub async fn housekeeping(pool: Pool, policies: Vec<RetentionPolicy>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for policy in &policies {
            match panic_as_error(policy.once(&pool, &stop)).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(what = policy.what, rows, "deleted old rows"),
                Err(error) => {
                    tracing::warn!(what = policy.what, error = %Chain(&error), "retention batch failed; will retry");
                }
            }
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
    }
}
