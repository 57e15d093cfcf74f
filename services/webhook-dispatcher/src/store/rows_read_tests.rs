//! The number of rows that Postgres reads in large tables: for a page, and for a step of the retention.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::SubscriptionId;
use testkit::Database;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::deliveries::{self, Filter};
use super::{redelivery, retention};
use crate::domain::delivery::Status;

const DELIVERIES: i64 = 100_000;
const PAGE: i64 = 51;
/// Rows of one step of the retention.
const STEP: i64 = 500;
/// Rows looked at in deliveries, attempts and messages for each row that is asked for, or may be deleted, at most.
const FACTOR: i64 = 6;

/// Of ten deliveries nine are of the first subscription, an event a minute. All but a few arrived; those few are the oldest.
const SEED: &str = r"
    INSERT INTO webhook_subscriptions (id, origin, events, timeout_seconds, created_at, updated_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'https://a.example', '{*}', 10, now(), now() FROM generate_series(1, 2) n;
    INSERT INTO messages (id, type, subject, body, occurred_at, received_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'order.created', n::text, '{}', at, at
    FROM generate_series(1, DELIVERIES) n, LATERAL (SELECT '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute' AS at) m;
    INSERT INTO webhook_deliveries (id, message_id, subscription_id, event_type, status, attempts, next_attempt_at,
        ordering_key, place, created_at, updated_at)
    SELECT id, id, CASE WHEN n % 10 < 9 THEN lpad('1', 32, '0') ELSE lpad('2', 32, '0') END::uuid,
        CASE WHEN n % 100 = 1 THEN 'order.cancelled' ELSE type END,
        CASE WHEN n <= 40 THEN 'pending' WHEN n <= 60 THEN 'delivering' WHEN n <= 200 THEN 'failed' WHEN n = 201 THEN 'cancelled'
            ELSE 'success' END,
        1, CASE WHEN n <= 60 THEN now() END, CASE WHEN n % 4 = 0 THEN 'key' END, CASE WHEN n % 4 = 0 THEN n END,
        received_at, received_at
    FROM (SELECT m.*, subject::int AS n FROM messages m) m;
    INSERT INTO delivery_attempts (delivery_id, attempt, attempted_at, duration_ms)
    SELECT id, 1, created_at, 5 FROM webhook_deliveries ORDER BY id;
    ANALYZE;
";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Rows of these tables this connection has looked at lately, by whatever way.
async fn looked_at(conn: &mut pg::Connection) -> i64 {
    let statement = sql_query(
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint AS count FROM pg_stat_xact_user_tables \
         WHERE relname IN ('webhook_deliveries', 'delivery_attempts', 'messages')",
    );
    let found: Count = statement.get_result(conn).await.unwrap();
    found.count
}

async fn large() -> (Database, pg::Pool) {
    let database = Database::create("webhook_dispatcher", "").await;
    pg::migrate(database.url(), &crate::MIGRATIONS).await.unwrap();
    let pool = database.pool();
    let seed = SEED.replace("DELIVERIES", &DELIVERIES.to_string());
    pool.get().await.unwrap().batch_execute(&seed).await.unwrap();
    (database, pool)
}

#[tokio::test]
async fn a_page_of_deliveries_is_found_without_looking_at_everything() {
    let (_database, pool) = large().await;
    let (first, middle) = (SubscriptionId::from(Uuid::from_u128(1)), datetime!(2026-02-01 0:00 UTC));
    let hour = Some(middle + time::Duration::hours(1));
    let status = |status| Filter { status: Some(status), ..Filter::default() };
    let at = (middle, Uuid::max());
    let mut told = Vec::new();
    for (name, filter, after, expected) in [
        ("the newest", Filter::default(), None, 51),
        ("the middle", Filter::default(), Some(at), 51),
        ("an hour", Filter { from: Some(middle), to: hour, ..Filter::default() }, None, 51),
        ("arrived", status(Status::Success), None, 51),
        ("old failures", status(Status::Failed), None, 51),
        (
            "old failures, the last page",
            status(Status::Failed),
            Some((datetime!(2026-01-01 1:10 UTC), Uuid::max())),
            9,
        ),
        ("one called off", status(Status::Cancelled), None, 1),
        ("none skipped", status(Status::Skipped), None, 0),
        ("old and pending", status(Status::Pending), None, 36),
        ("old and under way", status(Status::Delivering), None, 18),
        ("one event", Filter { message: Some(Uuid::from_u128(0x123)), ..Filter::default() }, None, 1),
        (
            "a type, in an hour",
            Filter {
                from: Some(middle),
                to: hour,
                event_type: Some("order.cancelled".to_owned()),
                ..Filter::default()
            },
            None,
            0,
        ),
        (
            "a common type",
            Filter { event_type: Some("order.created".to_owned()), ..Filter::default() },
            None,
            51,
        ),
    ] {
        let mut transaction = pool.begin().await.unwrap();
        transaction.batch_execute("SET LOCAL max_parallel_workers_per_gather = 0").await.unwrap();
        let before = looked_at(&mut transaction).await;
        let found = deliveries::list(&mut transaction, first, &filter, after, PAGE).await.unwrap();
        let looked = looked_at(&mut transaction).await - before;
        told.push(format!("{name}: {} found, {looked} looked at", found.len()));
        assert_eq!(found.len(), expected, "{name}");
        assert!(looked <= PAGE * FACTOR, "{}", told.join("\n"));
        transaction.rollback().await;
    }
    testkit::tell(&told.join("\n"));
}

/// Each step looks at as many rows as it may delete, wherever in the tables it is.
#[tokio::test]
async fn a_step_of_the_retention_does_not_grow_with_the_tables() {
    let (_database, pool) = large().await;
    let cutoff: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
    let mut told = Vec::new();
    for place in [0, DELIVERIES / 2, DELIVERIES - STEP] {
        let after = (datetime!(2026-01-01 0:00 UTC) + time::Duration::minutes(place), Uuid::max());
        let id: Uuid = format!("{place:032}").parse().unwrap();
        for part in ["payloads", "attempts", "deliveries"] {
            let mut transaction = pool.begin().await.unwrap();
            transaction.batch_execute("SET LOCAL max_parallel_workers_per_gather = 0").await.unwrap();
            let before = looked_at(&mut transaction).await;
            let conn = &mut *transaction;
            let is_at_work = match part {
                "payloads" => {
                    let from = if place == 0 { redelivery::FIRST } else { after };
                    retention::expunge(conn, cutoff, from, STEP).await.unwrap().is_some()
                }
                "attempts" => {
                    retention::delete_attempts(conn, cutoff, (id, 1), STEP).await.unwrap().deleted > STEP / 2
                }
                _ => retention::delete_deliveries(conn, cutoff, id, STEP).await.unwrap().deleted > STEP / 2,
            };
            let looked = looked_at(&mut transaction).await - before;
            told.push(format!("{part} after {place}: {looked} rows looked at"));
            assert!(is_at_work && looked <= STEP * FACTOR, "{}", told.join("\n"));
            transaction.rollback().await;
        }
    }
    testkit::tell(&told.join("\n"));
}
