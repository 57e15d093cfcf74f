//! Old rows are deleted in small steps, by any number of replicas.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use pg::RetentionPolicy;
use testkit::Database;
use tokio_util::sync::CancellationToken;

const TABLE: &str = "CREATE TABLE visits (at timestamptz NOT NULL)";
const RETENTION: RetentionPolicy = RetentionPolicy {
    what: "visits",
    sql: "DELETE FROM visits WHERE ctid IN ( \
              SELECT ctid FROM visits WHERE at < now() - $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    keep: Duration::from_hours(24),
};

#[tokio::test(flavor = "multi_thread")]
async fn only_old_rows_are_deleted_and_each_once() {
    let database = Database::create("stock_sync", TABLE).await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    for (rows, age) in [(5_500, "25 hours"), (10, "23 hours")] {
        let sql =
            format!("INSERT INTO visits SELECT now() - interval '{age}' FROM generate_series(1, {rows})");
        sql_query(sql).execute(&mut *conn).await.unwrap();
    }
    // A row that is locked by others is not waited for.
    sql_query("BEGIN").execute(&mut *conn).await.unwrap();
    sql_query("SELECT FROM visits ORDER BY at LIMIT 1 FOR UPDATE").execute(&mut *conn).await.unwrap();
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert_eq!(RETENTION.once(&pool, &stopped).await.unwrap(), 0);
    let stop = CancellationToken::new();
    let replicas = [(); 3].map(|()| RETENTION.once(&pool, &stop));
    let deleted: u64 = futures_util::future::join_all(replicas).await.into_iter().map(Result::unwrap).sum();
    // After a collision each may have ended with a batch that was not full.
    let rest = RETENTION.once(&pool, &stop).await.unwrap();
    sql_query("COMMIT").execute(&mut *conn).await.unwrap();
    assert_eq!((deleted + rest, RETENTION.once(&pool, &stop).await.unwrap()), (5_499, 1));
    let left = sql_query("SELECT FROM visits").execute(&mut *conn).await.unwrap();
    assert_eq!(left, 10);
}
