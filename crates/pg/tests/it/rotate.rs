//! Keys are rotated while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use diesel::sql_types::{Bytea, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use pg::sealed::Keyring;
use pg::{Pool, RotateError, SealedTable};
use testkit::Database;
use uuid::Uuid;

const VAULT: SealedTable = SealedTable { table: "vault", columns: &["secret", "spare"] };
const SQL: &str = "CREATE TABLE vault (id uuid PRIMARY KEY, secret bytea NOT NULL, spare bytea)";
const ROWS: u128 = 450;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bytea)]
    secret: Vec<u8>,
}

fn keyring(ids: &[u8]) -> Keyring {
    Keyring::new(ids.iter().map(|id| (format!("k{id}"), [*id; 32].into()))).unwrap()
}

async fn put(pool: &Pool, keyring: &Keyring, row: u128, text: &str) {
    let id = Uuid::from_u128(row);
    let mut conn = pool.get().await.unwrap();
    sql_query("INSERT INTO vault (id, secret) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET secret = excluded.secret")
        .bind::<SqlUuid, _>(id)
        .bind::<Bytea, _>(keyring.seal(&VAULT.place("secret", id), text.as_bytes()).unwrap())
        .execute(&mut *conn)
        .await
        .unwrap();
}

/// The text of every row, opened with these keys.
async fn texts(pool: &Pool, keyring: &Keyring) -> Vec<String> {
    let mut conn = pool.get().await.unwrap();
    let rows: Vec<Row> =
        sql_query("SELECT id, secret FROM vault ORDER BY id").load(&mut *conn).await.unwrap();
    let open = |row: &Row| keyring.open(&VAULT.place("secret", row.id), &row.secret).unwrap();
    rows.iter().map(|row| String::from_utf8(open(row).to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_rotations_keep_values_written_meanwhile() {
    let database = Database::create("stock_sync", SQL).await;
    let pool = database.pool();
    let (old, both, new) = (keyring(&[1]), keyring(&[2, 1]), keyring(&[2]));
    for row in 1..=ROWS {
        put(&pool, &old, row, "first").await;
    }
    // A service with both keys writes continuously.
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn({
        let (pool, both, stop, rounds) = (pool.clone(), both.clone(), Arc::clone(&stop), Arc::clone(&rounds));
        async move {
            while !AtomicBool::load(&stop, Ordering::Relaxed) {
                let round = rounds.fetch_add(1, Ordering::Relaxed) + 1;
                for row in (1..=ROWS).rev().step_by(7) {
                    put(&pool, &both, row, &format!("round {round}")).await;
                }
            }
        }
    });
    let one = pg::rotate(&pool, &both, &[VAULT]);
    let other = pg::rotate(&pool, &both, &[VAULT]);
    let (one, other) = tokio::join!(one, other);
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let resealed = one.unwrap() + other.unwrap();
    assert!((1..=450).contains(&resealed), "each value once: {resealed}");

    // The old key is removed, and no value of the writer was replaced by an older one.
    let last = format!("round {}", AtomicUsize::load(&rounds, Ordering::Relaxed));
    for (row, text) in (1..=ROWS).zip(texts(&pool, &new).await) {
        let wanted = if (ROWS - row).is_multiple_of(7) { last.as_str() } else { "first" };
        assert_eq!(text, wanted, "row {row}");
    }
    assert_eq!(pg::rotate(&pool, &new, &[VAULT]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_opened_stops_no_other() {
    let database = Database::create("stock_sync", SQL).await;
    let pool = database.pool();
    put(&pool, &keyring(&[1]), 1, "first").await;
    put(&pool, &keyring(&[9]), 2, "lost").await;
    put(&pool, &keyring(&[1]), 3, "third").await;
    let both = keyring(&[2, 1]);
    let error = pg::rotate(&pool, &both, &[VAULT]).await.unwrap_err();
    assert!(matches!(error, RotateError::Unopened { count: 1, .. }), "{error}");
    let opened = texts(&pool, &keyring(&[2, 9])).await;
    assert_eq!(
        opened,
        ["first", "lost", "third"],
        "what could be opened is under the new key, the rest as it was"
    );
}
