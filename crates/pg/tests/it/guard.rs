//! A guarded pool lends connections only while schema and keys match.

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use pg::sealed::Keyring;
use pg::{Error, MigrateError, Pool, PoolGuard, RotateError, RotateKeys, Schema, Unfit};
use testkit::{Database, eventually};
use tokio_util::sync::CancellationToken;

use crate::MIGRATIONS;

const COLUMNS: &str = "levels: sku quantity note\n";
static SCHEMA: Schema = Schema::new(&MIGRATIONS, COLUMNS);
const TABLES: &str =
    concat!(include_str!("../../sql/encryption_canary.sql"), include_str!("../../sql/replicas.sql"));

fn keyring(keys: &[(&str, u8)]) -> Keyring {
    Keyring::new(keys.iter().map(|(id, byte)| ((*id).to_owned(), [*byte; 32].into()))).unwrap()
}

async fn migrated() -> Database {
    let database = Database::create("stock_sync", TABLES).await;
    SCHEMA.migrate(database.url()).await.unwrap();
    database
}

/// Starts the guard of a process with these keys.
async fn process(database: &Database, keys: &[(&str, u8)]) -> (Pool, PoolGuard) {
    let pool = database.pool();
    let guard = pool.guard(&SCHEMA, &keyring(keys)).await.unwrap();
    (pool, guard)
}

async fn why(pool: &Pool) -> Unfit {
    match pool.get().await {
        Err(Error::Unfit(unfit)) => unfit,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_waits_for_pending_migrations() {
    let database = Database::create("stock_sync", TABLES).await;
    let (pool, guard) = process(&database, &[("k1", 1)]).await;
    let pending = "pending migrations: 20260101000001, 20260101000002".to_owned();
    assert_eq!(why(&pool).await, Unfit::SchemaOutdated(pending));
    assert!(pool.get().await.unwrap_err().is_unavailable(), "the migrations are waited for");
    tokio::spawn(guard.run(CancellationToken::new()));
    SCHEMA.migrate(database.url()).await.unwrap();
    eventually("the pool to work", async || pool.get().await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_column_is_named() {
    let database = migrated().await;
    database.run_sql("ALTER TABLE levels DROP note").await;
    let (pool, _guard) = process(&database, &[("k1", 1)]).await;
    assert_eq!(why(&pool).await, Unfit::SchemaOutdated("missing columns: levels.note".to_owned()));
    let error = SCHEMA.migrate(database.url()).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Columns(_)) && error.to_string().contains("levels.note"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_accepted() {
    let database = migrated().await;
    let newer =
        "ALTER TABLE levels ADD extra int; INSERT INTO __diesel_schema_migrations VALUES ('20990101000001')";
    database.run_sql(newer).await;
    let (pool, _guard) = process(&database, &[("k1", 1)]).await;
    pool.get().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_of_the_same_id_is_rejected() {
    let database = migrated().await;
    process(&database, &[("k1", 1), ("k2", 2)]).await;
    for keys in [&[("k1", 9)][..], &[("k1", 1), ("k2", 9)]] {
        let error = database.pool().guard(&SCHEMA, &keyring(keys)).await.unwrap_err();
        let wrong = keys.iter().find(|(_, byte)| *byte == 9).unwrap().0;
        assert_eq!(error.setting, "ENCRYPTION_KEYS");
        assert!(error.rule.contains(&format!("for {wrong} ")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_checked_once_the_database_is_available() {
    let database = migrated().await;
    process(&database, &[("k1", 1)]).await;
    let proxy = testkit::Proxy::before(secrecy::ExposeSecret::expose_secret(database.url()));
    proxy.refuse();
    let pool = Pool::new(&proxy.url().into(), 2, "test").unwrap();
    let guard = pool.guard(&SCHEMA, &keyring(&[("k1", 9)])).await.unwrap();
    assert!(matches!(pool.get().await, Err(Error::Unavailable(_))));
    proxy.pass();
    assert_eq!(guard.run(CancellationToken::new()).await.unwrap_err().setting, "ENCRYPTION_KEYS");
    assert_eq!(why(&pool).await, Unfit::WrongKeys(vec!["k1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_works_without_an_unused_key() {
    let database = migrated().await;
    let (old, _guard) = process(&database, &[("k1", 1)]).await;
    process(&database, &[("k1", 1), ("k2", 2)]).await;
    let (again, _guard) = process(&database, &[("k1", 1)]).await;
    old.get().await.unwrap();
    again.get().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stops_claiming_when_it_lacks_a_key_in_use() {
    let database = migrated().await;
    let (pool, guard) = process(&database, &[("k1", 1)]).await;
    pool.get().await.unwrap();
    process(&database, &[("k2", 2), ("k1", 1)]).await;
    pool.until_fit().await;
    tokio::spawn(guard.run(CancellationToken::new()));
    pool.until_unfit().await;
    let refused = pool.get_to_claim().await.unwrap_err();
    assert!(matches!(&refused, Error::Unfit(Unfit::KeysMissing(ids)) if *ids == ["k2"]), "{refused:?}");
    assert!(pool.ping().await.is_err());
    pool.get().await.unwrap();
}

async fn rotate(database: &Database, keys: &[(&str, u8)]) -> Result<(), RotateError> {
    RotateKeys {}.run(database.url(), &keyring(keys), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_keys_waits_for_the_new_key_everywhere() {
    let database = migrated().await;
    let both = [("k2", 2), ("k1", 1)];
    let stop = CancellationToken::new();
    let run = |guard: PoolGuard| tokio::spawn(guard.run(stop.clone()));
    let old = run(process(&database, &[("k1", 1)]).await.1);
    let error = rotate(&database, &both).await.unwrap_err();
    assert!(matches!(error, RotateError::NotEverywhere { .. }), "{error}");
    let named = format!("/{} (k1)", std::process::id());
    assert!(error.to_string().contains(&named), "{error}");
    stop.cancel();
    old.await.unwrap().unwrap();

    // A running process still seals with the old key, so that its canary stays.
    let (_pool, behind) = process(&database, &[("k1", 1), ("k2", 2)]).await;
    rotate(&database, &both).await.unwrap();
    let (pool, without) = process(&database, &[("k2", 2)]).await;
    assert!(matches!(pool.ping().await, Err(Error::Unfit(Unfit::KeysMissing(_)))));
    // The guards end at once, because their stop was requested before.
    behind.run(stop.clone()).await.unwrap();
    without.run(stop.clone()).await.unwrap();

    let _front = process(&database, &both).await;
    rotate(&database, &both).await.unwrap();
    // Nothing is sealed with the old key any more, so that it can be removed.
    let (pool, _guard) = process(&database, &[("k2", 2)]).await;
    pool.get().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_counts_for_a_minute() {
    let database = migrated().await;
    drop(process(&database, &[("k1", 1)]).await);
    let both = [("k2", 2), ("k1", 1)];
    assert!(rotate(&database, &both).await.is_err());
    database.run_sql("UPDATE replicas SET seen_at = now() - interval '61 seconds'").await;
    rotate(&database, &both).await.unwrap();
    let (pool, _guard) = process(&database, &both).await;
    let mut conn = pool.get().await.unwrap();
    let rows = sql_query("SELECT FROM replicas").execute(&mut *conn).await.unwrap();
    assert_eq!(rows, 1, "the row of the killed process is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_keys_rejects_a_wrong_key() {
    let database = migrated().await;
    drop(process(&database, &[("k1", 1)]).await);
    database.run_sql("DELETE FROM replicas").await;
    let error = rotate(&database, &[("k2", 2), ("k1", 9)]).await.unwrap_err();
    assert!(matches!(error, RotateError::Database(Error::Unfit(Unfit::WrongKeys(_)))), "{error}");
}
