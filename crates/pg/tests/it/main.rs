//! The pool, transactions, errors and migrations on a real Postgres.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod guard;
mod panics;
mod pool;
mod retention;
mod rotate;
mod tls;

use std::error::Error as StdError;
use std::iter::successors;
use std::net::TcpListener;
use std::sync::Arc;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use domain::PermanentError;
use metrics_exporter_prometheus::PrometheusBuilder;
use pg::{CorruptRow, Error, Pool};
use secrecy::SecretString;
use testkit::Database;
use tokio::sync::Notify;

static MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

async fn migrated() -> (Database, Pool) {
    let database = Database::create("stock_sync", "").await;
    pg::migrate(database.url(), &MIGRATIONS).await.unwrap();
    let pool = database.pool();
    (database, pool)
}

async fn insert(pool: &Pool, values: &str) -> Result<(), Error> {
    let statement = format!("INSERT INTO levels VALUES {values}");
    pool.transaction(async |conn| {
        sql_query(statement).execute(conn).await?;
        Ok(())
    })
    .await
}

async fn count(pool: &Pool) -> i64 {
    let mut conn = pool.get().await.unwrap();
    let counted: Count = sql_query("SELECT count(*) FROM levels").get_result(&mut *conn).await.unwrap();
    counted.count
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_migrate_at_once_apply_each_migration_once() {
    let database = Database::create("stock_sync", "").await;
    let runs = (0..4).map(|_| pg::migrate(database.url(), &MIGRATIONS));
    let applied: Vec<String> =
        futures_util::future::try_join_all(runs).await.unwrap().into_iter().flatten().collect();
    assert_eq!(applied, ["20260101000001", "20260101000002"]);
}

#[tokio::test]
async fn permanent_errors_differ_from_an_unavailable_server() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (query, is_hopeless) in [("", false), ("?sslmode=verify-full&sslrootcert=/nowhere/root.pem", true)] {
        let url = SecretString::from(format!("postgres://somebody@127.0.0.1:{port}/zaplecze{query}"));
        let error = pg::migrate(&url, &MIGRATIONS).await.unwrap_err();
        let outermost: &dyn StdError = &error;
        let mut causes = successors(Some(outermost), |cause| (*cause).source());
        assert_eq!(causes.any(<dyn StdError>::is::<PermanentError>), is_hopeless, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_commits_completely_or_not_at_all() {
    let (_database, pool) = migrated().await;
    insert(&pool, "('AH-1', 1), ('AH-2', 2)").await.unwrap();
    let failed: Result<(), Error> = pool
        .transaction(async |conn| {
            sql_query("INSERT INTO levels VALUES ('AH-3', 3)").execute(conn).await?;
            sql_query("INSERT INTO levels VALUES ('AH-1', 9)").execute(conn).await?;
            Ok(())
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(count(&pool).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_dropped_in_the_middle_is_rolled_back() {
    let (_database, pool) = migrated().await;
    let inserted = Arc::new(Notify::new());
    let work = tokio::spawn({
        let (pool, inserted) = (pool.clone(), Arc::clone(&inserted));
        async move {
            let endless: Result<(), Error> = pool
                .transaction(async |conn| {
                    sql_query("INSERT INTO levels VALUES ('AH-1', 1)").execute(conn).await?;
                    inserted.notify_one();
                    std::future::pending().await
                })
                .await;
            endless
        }
    });
    inserted.notified().await;
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    // The key is free as soon as the server has rolled back. The insert waits for that.
    insert(&pool, "('AH-1', 1)").await.unwrap();
    assert_eq!(count(&pool).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violated_constraint_is_named() {
    let (_database, pool) = migrated().await;
    insert(&pool, "('AH-1', 1)").await.unwrap();
    let twice = insert(&pool, "('AH-1', 2)").await.unwrap_err();
    assert!(matches!(twice, Error::UniqueViolation { .. }) && twice.violates("levels_sku_key"), "{twice:?}");
    let negative = insert(&pool, "('AH-2', -1)").await.unwrap_err();
    assert!(matches!(negative, Error::CheckViolation { .. }) && negative.violates("levels_not_negative"));
    assert!(!negative.is_unavailable());
}

/// The error of a failing statement.
async fn failure(pool: &Pool, statement: &str, text: &str) -> Error {
    let done: Result<(), Error> = pool
        .transaction(async |conn| {
            sql_query(statement).bind::<Text, _>(text).execute(conn).await?;
            Ok(())
        })
        .await;
    done.err().unwrap_or_else(|| panic!("{statement} did not fail"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_can_never_be_stored_is_a_permanent_error() {
    let (_database, pool) = migrated().await;
    insert(&pool, "('AH-1', 1)").await.unwrap();
    let words = (0..2000_u32).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761)));
    let long = words.collect::<Vec<_>>().concat();
    for (statement, text, is_permanent) in [
        ("INSERT INTO levels VALUES ($1, 1)", "AH\0-2", true),
        ("INSERT INTO levels VALUES ($1, 1)", long.as_str(), true),
        ("INSERT INTO levels VALUES ($1, -1)", "AH-2", true),
        ("INSERT INTO levels (quantity) VALUES (length($1))", "AH-2", false),
        ("SELECT $1::jsonb", "{\"a\": \"\\u0000\"}", true),
        ("SELECT $1::text::uuid", "AH-2", true),
        ("SELECT $1::text::bigint", "9223372036854775808", true),
        ("SELECT $1::text::numeric(3)", "1000", true),
        ("SELECT $1::text::timestamptz", "300000-01-01", true),
        ("INSERT INTO levels VALUES ($1, 1)", "AH-1", false),
        ("SELECT $1 FROM nowhere", "AH-1", false),
        ("SELECT $1, pg_terminate_backend(pg_backend_pid())", "AH-1", false),
    ] {
        let error = failure(&pool, statement, text).await;
        assert_eq!(error.is_permanent(), is_permanent, "{statement}: {error:?}");
        assert!(!(error.is_permanent() && error.is_unavailable()), "{error:?}");
    }
    assert!(Error::unwritable("no JSON").is_permanent());
}

#[test]
fn a_corrupt_row_is_counted_and_listed_until_it_is_taken() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let error = metrics::with_local_recorder(&recorder, || Error::corrupt("levels", "AH-1", "quantity"));
    assert_eq!(error.to_string(), "levels AH-1: column quantity cannot be read");
    assert!(error.is_permanent() && !error.is_unavailable());
    let counted = recorder.handle().render();
    assert!(counted.contains(r#"db_corrupt_rows_total{table="levels",column="quantity"} 1"#), "{counted}");
    let row = CorruptRow { table: "levels", id: "AH-1".to_owned(), column: "quantity" };
    assert_eq!(pg::take_corrupt_rows(), std::slice::from_ref(&row));
    assert_eq!(pg::take_corrupt_rows(), []);
    pg::restore_corrupt_rows([row.clone(), row.clone()]);
    assert_eq!(pg::take_corrupt_rows(), [row]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ended_by_the_server_is_replaced() {
    let (_database, pool) = migrated().await;
    let ended: Result<(), Error> = pool
        .transaction(async |conn| {
            sql_query("SELECT pg_terminate_backend(pg_backend_pid())").execute(conn).await?;
            sql_query("SELECT 1").execute(conn).await?;
            Ok(())
        })
        .await;
    let error = ended.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    pool.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let pool = Pool::new(&format!("postgres://nobody@{address}/none").into(), 1, "test").unwrap();
    let error = pool.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_services_role_cannot_read_anothers_schema() {
    let (database, pool) = migrated().await;
    insert(&pool, "('AH-1', 1)").await.unwrap();
    let other = database.role_in("balance_sync").await;
    let mut conn = other.get().await.unwrap();
    let read = sql_query("SELECT count(*) FROM stock_sync.levels").get_result::<Count>(&mut *conn).await;
    let refusal = read.err().unwrap().to_string();
    assert!(refusal.contains("permission denied for schema stock_sync"), "{refusal}");
}
