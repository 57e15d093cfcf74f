//! Collisions, limits, metrics and schemas of a pool.

use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::sql_types::{Integer, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use metrics_exporter_prometheus::PrometheusBuilder;
use pg::{Error, Pool};
use testkit::{Database, eventually};
use tokio::sync::Barrier;

const SQL: &str =
    "CREATE TABLE shelf (id int PRIMARY KEY, amount int NOT NULL); INSERT INTO shelf VALUES (1, 0), (2, 0)";

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

async fn ask(pool: &Pool, expression: &str) -> String {
    let mut conn = pool.get().await.unwrap();
    let found: Value =
        sql_query(format!("SELECT ({expression})::text AS value")).get_result(&mut *conn).await.unwrap();
    found.value
}

async fn add(conn: &mut pg::Connection, row: i32) -> Result<(), Error> {
    sql_query("UPDATE shelf SET amount = amount + 1 WHERE id = $1")
        .bind::<Integer, _>(row)
        .execute(conn)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlocked_transactions_are_repeated() {
    let database = Database::create("stock_sync", SQL).await;
    let (pool, barrier, runs) = (database.pool(), Barrier::new(2), AtomicUsize::new(0));
    let work = async |first: i32, second: i32| -> Result<(), Error> {
        let is_met = AtomicUsize::new(0);
        pool.transaction(async |conn| {
            runs.fetch_add(1, Ordering::Relaxed);
            add(conn, first).await?;
            // Both hold their first row before either requests the other's. The repeated run has no contention.
            if is_met.fetch_add(1, Ordering::Relaxed) == 0 {
                barrier.wait().await;
            }
            add(conn, second).await
        })
        .await
    };
    let (one, other) = tokio::join!(work(1, 2), work(2, 1));
    one.unwrap();
    other.unwrap();
    assert_eq!(AtomicUsize::load(&runs, Ordering::Relaxed), 3, "one of the two ran twice");
    assert_eq!(ask(&pool, "SELECT sum(amount) FROM shelf").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_are_repeated_a_few_times() {
    let database = Database::create("stock_sync", SQL).await;
    let (pool, runs) = (database.pool(), AtomicUsize::new(0));
    // Another transaction always writes the row between our snapshot and our write.
    let collide = async |times: usize| -> Result<(), Error> {
        runs.store(0, Ordering::Relaxed);
        pool.transaction(async |conn| {
            sql_query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(conn).await?;
            sql_query("SELECT amount FROM shelf WHERE id = 1").execute(conn).await?;
            if runs.fetch_add(1, Ordering::Relaxed) < times {
                add(&mut *pool.get().await?, 1).await?;
            }
            add(conn, 1).await
        })
        .await
    };
    collide(2).await.unwrap();
    assert_eq!(AtomicUsize::load(&runs, Ordering::Relaxed), 3);
    let given_up = collide(usize::MAX).await.unwrap_err();
    assert!(matches!(given_up, Error::Collision(_)), "{given_up:?}");
    assert_eq!(AtomicUsize::load(&runs, Ordering::Relaxed), 4);
}

/// The services' way of wrapping errors: the cause of this one is the cause of its content.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Wrapped(#[from] Error);

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_insert_of_the_same_row_repeats_the_work() {
    let database = Database::create("stock_sync", SQL).await;
    let (pool, runs) = (database.pool(), AtomicUsize::new(0));
    let put = async |conn: &mut pg::Connection| -> Result<(), Error> {
        let put = sql_query("INSERT INTO shelf VALUES (1, 1)").execute(conn).await;
        put.map(drop).map_err(Error::from)
    };
    let done: Result<(), Wrapped> = pool
        .transaction(async |conn| {
            if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                put(conn).await.map_err(|error| error.collides_at("shelf_pkey"))?;
            }
            Ok(())
        })
        .await;
    done.unwrap();
    assert_eq!(AtomicUsize::load(&runs, Ordering::Relaxed), 2);
    let elsewhere = put(&mut *pool.get().await.unwrap()).await.unwrap_err().collides_at("another");
    assert!(elsewhere.violates("shelf_pkey"), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_limits_apply_and_the_address_may_change_them() {
    let database = Database::create("stock_sync", SQL).await;
    let pool = database.pool();
    for (setting, value) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("application_name", "test"),
    ] {
        assert_eq!(ask(&pool, &format!("current_setting('{setting}')")).await, value, "{setting}");
    }
    let address = secrecy::ExposeSecret::expose_secret(database.url());
    // Enough to set up a connection, and no more.
    let url = format!("{address}?options=-c%20statement_timeout%3D2s");
    let hasty = Pool::new(&url.into(), 1, "hasty").unwrap();
    let mut conn = hasty.get().await.unwrap();
    let ended = sql_query("SELECT pg_sleep(30)").execute(&mut *conn).await.unwrap_err();
    let error = Error::from(ended);
    assert!(error.is_unavailable(), "{error:?}");
    drop(conn);
    assert_eq!(ask(&hasty, "current_setting('statement_timeout')").await, "2s");
    assert_eq!(ask(&hasty, "current_setting('lock_timeout')").await, "10s");
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_metrics_count_borrowed_connections_and_waiters() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let database = Database::create("stock_sync", SQL).await;
    let pool = Pool::new(database.url(), 1, "measured").unwrap();
    let shown = |line: &str| recorder.render().lines().any(|shown| shown == line);
    let held = pool.get().await.unwrap();
    assert!(shown("db_pool_connections_max{pool=\"measured\"} 1"), "{}", recorder.render());
    assert!(shown("db_pool_connections{pool=\"measured\"} 1"));
    assert!(shown("db_pool_connections_in_use{pool=\"measured\"} 1"));
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ping().await }
    });
    eventually("somebody waits", async || shown("db_pool_waiting{pool=\"measured\"} 1").then_some(())).await;
    drop(held);
    waiting.await.unwrap().unwrap();
    assert!(
        shown("db_pool_connections_in_use{pool=\"measured\"} 0")
            && shown("db_pool_waiting{pool=\"measured\"} 0")
    );
    assert!(shown("db_pool_wait_seconds_count{pool=\"measured\"} 2"), "{}", recorder.render());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unqualified_table_is_in_the_roles_own_schema() {
    let database = Database::create("stock_sync", "CREATE TABLE note AS SELECT 'of stock' AS text").await;
    let other = database.service("balance_sync", "CREATE TABLE note AS SELECT 'of balances' AS text").await;
    assert_eq!(ask(&database.pool(), "SELECT text FROM note").await, "of stock");
    assert_eq!(ask(&other, "SELECT text FROM note").await, "of balances");
    assert_eq!(ask(&other, "current_user || ' ' || current_schema()").await, "balance_sync balance_sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_releases_its_locks_at_once() {
    let database = Database::create("stock_sync", "").await;
    let (pool, other) = (database.pool(), database.pool());
    // More than one connection: the pool does not need the dropped one.
    let several = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    drop(several);
    let mut held = pool.begin().await.unwrap();
    sql_query("SELECT pg_advisory_xact_lock(7)").execute(&mut *held).await.unwrap();
    drop(held);
    let mut conn = other.get().await.unwrap();
    eventually("the lock", async || {
        let taken = sql_query("SELECT 1 WHERE pg_try_advisory_lock(7)").execute(&mut *conn).await.unwrap();
        (taken == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_prepared_once_per_connection() {
    let database = Database::create("stock_sync", SQL).await;
    let pool = Pool::new(database.url(), 1, "test").unwrap();
    for row in [1, 1, 2] {
        let mut conn = pool.get().await.unwrap();
        let statement =
            sql_query("UPDATE shelf SET amount = amount + 5 WHERE id = $1").bind::<Integer, _>(row);
        assert_eq!(pg::prepared(statement).execute(&mut *conn).await.unwrap(), 1);
    }
    assert_eq!(ask(&pool, "SELECT sum(amount) FROM shelf").await, "15");
    let prepared = "SELECT count(*) || ' ' || sum(generic_plans + custom_plans) FROM pg_prepared_statements \
                    WHERE statement LIKE 'UPDATE shelf%'";
    assert_eq!(ask(&pool, prepared).await, "1 3");
}
