//! What Postgres reads for a page, in a large account beside others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use diesel::QueryableByName;
use diesel::sql_types::Json;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::TokenId;
use serde_json::Value;
use testkit::Database;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::{Filter, statement};
use crate::domain::search;

const ORDERS: usize = 20_000;
/// Rows looked at for a page of 50, at most. Of the small account (a tenth) Postgres may read everything where that is
/// cheaper than an index; of the large one never.
const MOST: f64 = 2200.0;

/// Of ten orders nine are of the first account. Nearly all are ready and taken from stock; a few, all of them old, are
/// cancelled. Of words and SKUs there are those every order has, those of one order in a hundred, and rare ones.
const SEED: &str = r"
    INSERT INTO user_tokens (id, user_id, allegro_seller_id, allegro_login, access_token, refresh_token, scopes,
        expires_at, refresh_expires_at, connected_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'u' || n, n, 'l', '', '', '', now(), now(), now() FROM generate_series(1, 3) n;
    INSERT INTO orders (id, token_id, allegro_order_id, status, fulfillment_status, order_date, buyer_login, line_items,
        order_data, content_hash, asked_at, search, is_stock_updated, stock_updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid,
        lpad(CASE WHEN n % 10 < 9 THEN '1' WHEN n % 100 < 99 THEN '2' ELSE '3' END, 32, '0')::uuid, n,
        CASE WHEN n < ORDERS / 20 THEN 'CANCELLED' ELSE 'READY_FOR_PROCESSING' END,
        CASE WHEN n > ORDERS - 300 THEN 'NEW' ELSE 'SENT' END,
        '2026-01-01T00:00:00Z'::timestamptz + n * interval '10 seconds', 'Buyer' || n % 1000, 1,
        json_build_object('id', n::text, 'status', 'BOUGHT', 'filling', repeat(md5(n::text), 20)), '', now(),
        array_to_tsvector(ARRAY['swieca', 'century' || n % 100, 'rare' || n, 'buyer' || n % 1000,
            '=' || encode(convert_to(CASE WHEN n % 2 = 0 THEN 'HALF' ELSE 'SKU' || n % 500 END, 'UTF8'), 'hex')]),
        n >= 100, CASE WHEN n >= 100 THEN now() END
    FROM generate_series(0, ORDERS - 1) n;
    ANALYZE;
";

#[derive(QueryableByName)]
struct Plan {
    #[diesel(sql_type = Json)]
    #[diesel(column_name = "QUERY PLAN")]
    plan: Value,
}

/// Rows every scan of a plan looked at.
fn looked_at(node: &Value) -> f64 {
    let number = |name: &str| node.get(name).and_then(Value::as_f64).unwrap_or_default();
    let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    // A bitmap's index scan finds rows its heap scan then looks at.
    let is_scan = node.get("Relation Name").is_some();
    let own = if is_scan { (number("Actual Rows") + removed) * number("Actual Loops") } else { 0.0 };
    let inner = node.get("Plans").and_then(Value::as_array).into_iter().flatten();
    own + inner.map(looked_at).sum::<f64>()
}

#[tokio::test]
async fn a_page_is_found_without_looking_at_everything() {
    let database = Database::create("allegro_backup", "").await;
    pg::migrate(database.url(), &crate::MIGRATIONS).await.unwrap();
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    conn.batch_execute(&SEED.replace("ORDERS", &ORDERS.to_string())).await.unwrap();

    let all: Vec<TokenId> = (1..=3).map(|n| Uuid::from_u128(n).into()).collect();
    let middle = datetime!(2026-01-01 0:00 UTC) + time::Duration::seconds(i64::try_from(ORDERS).unwrap() * 5);
    let text = |text: &str| Some(text.to_owned());
    let with = |change: &dyn Fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let day: OffsetDateTime = middle + time::Duration::hours(1);
    let table: Vec<(&str, Filter, usize)> = vec![
        ("everything", Filter::default(), 51),
        ("the middle", with(&|it| it.after = Some((middle, Uuid::max()))), 51),
        ("an hour", with(&|it| (it.from, it.to) = (Some(middle), Some(day))), 51),
        ("old statuses", with(&|it| it.status = text("CANCELLED")), 51),
        ("no status", with(&|it| it.status = text("BOUGHT")), 0),
        ("few of the seller's", with(&|it| it.fulfillment_status = text("NEW")), 51),
        ("a buyer", with(&|it| it.buyer = text("bUyer7")), (ORDERS / 1000).min(51)),
        ("not in stock's books", with(&|it| it.stock_updated = Some(false)), 51),
        ("in stock's books", with(&|it| it.stock_updated = Some(true)), 51),
        ("a rare sku", with(&|it| it.sku = Some(search::query_of_sku("SKU77"))), (ORDERS / 500).min(51)),
        ("half of all", with(&|it| it.sku = Some(search::query_of_sku("HALF"))), 51),
        ("no sku", with(&|it| it.sku = Some(search::query_of_sku("NONE"))), 0),
        ("every order's word", with(&|it| it.search = search::query("świeca")), 51),
        ("a rare word", with(&|it| it.search = search::query("rare12345")), 1),
        ("rare among common", with(&|it| it.search = search::query("świeca rare777 cen")), 11),
        ("no word", with(&|it| it.search = search::query("brak")), 0),
        (
            "several",
            with(&|it| {
                (it.status, it.stock_updated) = (text("READY_FOR_PROCESSING"), Some(true));
                (it.search, it.from) = (search::query("century7 swie"), Some(middle));
            }),
            51,
        ),
    ];
    let mut told = Vec::new();
    let mut worst = Vec::new();
    for (name, filter, expected) in table {
        for ids in [all.as_slice(), all.get(..1).unwrap()] {
            let (sql, conditions) = statement(ids, &filter, 51);
            let rows: Vec<super::Listed> = conditions.bind(sql).load(&mut *conn).await.unwrap();
            if ids.len() == 3 {
                assert_eq!(rows.len(), expected, "{name}");
            }
            let (sql, conditions) = statement(ids, &filter, 51);
            let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}");
            let plan: Plan = conditions.bind(explain).get_result(&mut *conn).await.unwrap();
            let looked: f64 = looked_at(plan.plan.pointer("/0/Plan").unwrap());
            let took = plan.plan.pointer("/0/Execution Time").unwrap();
            let (accounts, found) = (ids.len(), rows.len());
            told.push(format!("{name}, {accounts} accounts: {found} rows, {looked} looked at, {took} ms"));
            if looked > MOST {
                worst.push(format!("{name}: {looked}\n{:#}", plan.plan));
            }
        }
    }
    testkit::tell(&told.join("\n"));
    assert!(worst.is_empty(), "{}", worst.join("\n"));
}
