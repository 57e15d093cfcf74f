//! Steps of a reading that are stored side by side: none lasts before the one before it does.

use std::collections::BTreeSet;

use diesel_async::SimpleAsyncConnection;
use serde_json::{Value, json};
use testkit::eventually;

use crate::support::Shop;

/// More than the steps that are stored at once hold.
const ORDERS: usize = 1_200;
const OUTSIDE: &str = "outside";
/// While the test holds the lock 4711 of its database, one insertion waits for it, and later insertions are not held up.
const HOLD: &str = "CREATE FUNCTION held() RETURNS SETOF pg_locks LANGUAGE sql AS $$ SELECT * FROM pg_locks \
         WHERE locktype = 'advisory' AND objid = 4711 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) $$; \
     CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF EXISTS (SELECT FROM held() WHERE granted AND pid <> pg_backend_pid()) \
         AND NOT EXISTS (SELECT FROM held() WHERE NOT granted) THEN \
         PERFORM pg_advisory_xact_lock(4711); \
     END IF; RETURN NULL; END $$; \
     CREATE TRIGGER hold BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION hold()";
/// Transactions that have told their facts and wait for something that is not the database.
const WAITING: &str = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
     AND query LIKE '%INTO outbox%'";

#[tokio::test(flavor = "multi_thread")]
async fn a_step_lasts_after_the_one_before_or_not_at_all() {
    let mut shop = Shop::open().await;
    shop.vhost.listen(OUTSIDE);
    shop.admin("POST", "/orders", &json!({ "count": ORDERS, "seed": 5 }));
    shop.run(HOLD).await;
    let mut holder = shop.pool.begin().await.unwrap();
    holder.batch_execute("SELECT pg_advisory_xact_lock(4711)").await.unwrap();
    shop.connect().await;

    // The first step is held up; the second is written to its end and stays invisible.
    eventually("a step to wait for the one before", async || (shop.count(WAITING).await >= 1).then_some(()))
        .await;
    assert_eq!(shop.count("orders").await, 0);
    assert_eq!(shop.count("sync_cursors WHERE window_offset > 0 OR pass_done > 0").await, 0);
    shop.service.kill();
    holder.rollback().await;
    shop.start_again().await;

    shop.until_read().await;
    shop.until_equal().await;
    shop.until("outbox", 0).await;
    let told: Vec<Value> =
        shop.vhost.take(OUTSIDE).iter().map(|fact| serde_json::from_str(fact).unwrap()).collect();
    let created: Vec<&str> = told
        .iter()
        .filter(|fact| fact["type"] == "order.created")
        .map(|fact| fact["subject"].as_str().unwrap())
        .collect();
    assert_eq!(created.len(), ORDERS, "each order is told of once");
    assert_eq!(created.iter().collect::<BTreeSet<_>>().len(), ORDERS);
}
