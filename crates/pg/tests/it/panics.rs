//! A connection whose borrower panics is closed, never lent again.

use std::sync::atomic::{AtomicI32, Ordering};

use diesel::sql_types::Integer;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::catch_panic;
use pg::{Error, Pool};
use testkit::{Database, eventually};

const SQL: &str = "CREATE TABLE shelf (id int PRIMARY KEY)";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

async fn number(conn: &mut pg::Connection, query: &str) -> i32 {
    let found: Number = sql_query(format!("SELECT ({query})::int AS number")).get_result(conn).await.unwrap();
    found.number
}

/// Writes a row and panics while it holds the connection.
async fn write_and_panic(conn: &mut pg::Connection, backend: &AtomicI32) -> Result<(), Error> {
    backend.store(number(conn, "SELECT pg_backend_pid()").await, Ordering::Relaxed);
    sql_query("INSERT INTO shelf VALUES (1)").execute(conn).await?;
    panic!("boom")
}

async fn panic_in(transaction: &str, pool: &Pool, backend: &AtomicI32) -> Result<(), Error> {
    match transaction {
        "closure" => pool.transaction(async |conn| write_and_panic(conn, backend).await).await,
        "value" => {
            let mut transaction = pool.begin().await?;
            write_and_panic(&mut transaction, backend).await
        }
        _ => {
            let mut conn = pool.get().await?;
            sql_query("BEGIN").execute(&mut *conn).await?;
            write_and_panic(&mut conn, backend).await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_borrower_panicked_is_closed() {
    let database = Database::create("stock_sync", SQL).await;
    let watcher = database.pool();
    for transaction in ["closure", "value", "statement"] {
        let (pool, backend) = (database.pool(), AtomicI32::new(0));
        let caught = catch_panic(panic_in(transaction, &pool, &backend)).await;
        assert_eq!(caught.unwrap_err().to_string(), "panicked: boom", "{transaction}");
        assert_eq!(pool.usage(), (0, 0), "{transaction}: the pool holds no connection");
        let backend = backend.into_inner();
        eventually(&format!("the end of the backend, {transaction}"), async || {
            let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}");
            (number(&mut watcher.get().await.unwrap(), &alive).await == 0).then_some(())
        })
        .await;
        let mut conn = pool.get().await.unwrap();
        assert_eq!(number(&mut conn, "SELECT count(*) FROM shelf").await, 0, "{transaction}: rolled back");
    }
}
