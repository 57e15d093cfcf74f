//! One deduction, whoever is told how often and at once.

use std::thread;
use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::events::OrderEvent;
use serde_json::{Value, json};
use testkit::{eventually, while_asking};

use crate::support::{Desk, cancelled, order, ready, token};

/// As late as an answer may be: what a test does meanwhile has its time.
const LATE: Duration = Duration::from_millis(4_500);

/// As Allegro shapes it.
fn shaped(order: &OrderEvent) -> Value {
    let lines: Vec<Value> = order
        .line_items
        .iter()
        .map(|it| json!({ "id": it.id, "quantity": it.quantity, "offer": { "id": "1", "external": { "id": it.sku } } }))
        .collect();
    json!({ "id": order.order_id, "token_id": token(), "status": "READY_FOR_PROCESSING", "lineItems": lines,
            "buyer": { "login": "kept as it is" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_in_and_told_at_once_to_two_replicas_an_order_is_taken_once() {
    const ORDERS: usize = 40;
    let desk = Desk::open().await;
    desk.put("wosk", 1_000);
    desk.put("knot", 1_000);
    let replica = desk.service.replica();
    let orders: Vec<OrderEvent> = (0..ORDERS)
        .map(|number| order(&format!("order-{number}"), &[("wosk", 2), ("knot", 1), ("wosk", 1)]))
        .collect();
    let facts: Vec<_> = orders.iter().flat_map(|it| [ready(it.clone()), ready(it.clone())]).collect();
    desk.tell(&facts).await;
    thread::scope(|scope| {
        for (at, program) in [&desk.service, &replica, &desk.service, &replica].into_iter().enumerate() {
            let orders = &orders;
            scope.spawn(move || {
                for order in orders.iter().skip(at * 10).chain(orders.iter().take(at * 10)) {
                    let (status, body) = program.post("/orders/process", &shaped(order));
                    assert_eq!(status, 200, "{body}");
                    assert!(
                        ["deducted", "already_done"].contains(&body["outcome"].as_str().unwrap()),
                        "{body}"
                    );
                }
            });
        }
    });
    let done = async || {
        let done = desk.count("pending_stock_operations WHERE status = 'completed'").await;
        (done == 3 * i64::try_from(ORDERS).unwrap()).then_some(())
    };
    eventually("every order to be marked", done).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (1_000 - 3 * 40, 1_000 - 40));
    assert!(orders.iter().all(|it| desk.backup.marks(it.order_id.as_str()) == [true]), "one mark each");

    // Every order is cancelled while others hand it in again.
    desk.tell(&orders.iter().cloned().map(cancelled).collect::<Vec<_>>()).await;
    thread::scope(|scope| {
        scope.spawn(|| orders.iter().for_each(|it| drop(replica.post("/orders/process", &shaped(it)))));
    });
    let back = async || {
        let back = desk
            .count("pending_stock_operations WHERE operation_type = 'refund' AND status = 'completed'")
            .await;
        (back == 3 * i64::try_from(ORDERS).unwrap()).then_some(())
    };
    eventually("every order to be back", back).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (1_000, 1_000));
    assert!(orders.iter().all(|it| desk.backup.marks(it.order_id.as_str()).last() == Some(&false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_handed_in_before_allegro_backup_knew_it_is_marked_when_it_is_told_of() {
    let desk = Desk::open().await;
    desk.put("wosk", 9);
    let early = order("early", &[("wosk", 1)]);
    desk.backup.fail_late(404, LATE);
    assert_eq!(desk.service.post("/orders/process", &shaped(&early)).0, 200);
    let asked = async || desk.operations("early").pop().filter(|it| it["status"] == "processing");
    eventually("the question to be under way", asked).await;
    desk.backup.fail_with(None);
    desk.tell(&[ready(early)]).await;
    desk.until("early", &[("deduction", "completed")]).await;
    assert_eq!((desk.backup.marks("early"), desk.on_hand("wosk")), (vec![true], 8));
    assert_eq!(desk.count("stock_synchronization_logs WHERE action = 'failed'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_handed_in_without_an_account_is_taken_and_nobody_is_told() {
    let desk = Desk::open().await;
    desk.put("wosk", 5);
    let mut wanted = shaped(&order("by-hand", &[("wosk", 2)]));
    wanted.as_object_mut().unwrap().remove("token_id");
    for outcome in ["deducted", "already_done"] {
        let (status, body) = desk.service.post("/orders/process", &wanted);
        assert_eq!((status, &body["outcome"]), (200, &json!(outcome)), "{body}");
        assert_eq!(body["marked_remotely"], false);
        assert_eq!(body["operations"][0]["status"], "completed");
    }
    assert_eq!(desk.on_hand("wosk"), 3);
    let two = json!({ "id": "twice", "lineItems": [
        { "id": "a", "quantity": 0, "offer": {} }, { "id": "a", "quantity": 1, "offer": {} }] });
    let (status, problem) = desk.service.post("/orders/process", &two);
    let pointers: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]).collect();
    assert_eq!((status, pointers), (400, vec![&json!("/lineItems/0/quantity"), &json!("/lineItems/1/id")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_an_order_writes_its_operations_and_nobody_else() {
    let desk = Desk::open().await;
    desk.put("wosk", 9);
    desk.backup.fail_late(404, LATE);
    desk.tell(&[ready(order("held", &[("wosk", 1), ("wosk", 2)]))]).await;
    let asked = async || desk.operations("held").pop().filter(|it| it["status"] == "processing");
    eventually("the question to be under way", asked).await;
    let mut holder = desk.pool.begin().await.unwrap();
    let hold = sql_query("SELECT FROM order_states WHERE order_id = 'held' FOR UPDATE");
    hold.execute(&mut *holder).await.unwrap();
    desk.until_one_waits().await;
    // Who does not wait for the order holds its operations now, and would wait for whoever holds the order.
    let write = sql_query("UPDATE pending_stock_operations SET updated_at = updated_at");
    write.execute(&mut *holder).await.unwrap();
    holder.commit().await.unwrap();
    desk.until("held", &[("deduction", "failed"), ("deduction", "failed")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_another_order_took_just_now_is_not_taken_again() {
    let desk = Desk::open().await;
    desk.put("wosk", 1);
    desk.tell(&[ready(order("late", &[("wosk", 5)]))]).await;
    desk.until("late", &[("deduction", "failed")]).await;
    desk.put("wosk", 50);
    let id = desk.operations("late")[0]["id"].as_str().unwrap().to_owned();
    let mut other = desk.pool.begin().await.unwrap();
    sql_query("SELECT FROM line_states FOR UPDATE").execute(&mut *other).await.unwrap();
    let retry = || desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({}));
    let retried = while_asking(retry, async {
        desk.until_one_waits().await;
        let sale = sql_query(
            "INSERT INTO stock_movements (id, sku, warehouse, delta, on_hand, kind, order_id, line_item_id, line_key, \
                 generation, created_at) \
             SELECT gen_random_uuid(), sku, warehouse, -quantity, 45, 'sale', 'merged', line_item_id, line_key, 1, now() \
             FROM pending_stock_operations, line_states",
        );
        assert_eq!(sale.execute(&mut *other).await.unwrap(), 1);
        let out = sql_query(
            "UPDATE line_states SET generation = 1, units_out = ( \
                 SELECT jsonb_build_array(jsonb_build_object('sku', sku, 'warehouse', warehouse, 'units', quantity)) \
                 FROM pending_stock_operations)",
        );
        assert_eq!(out.execute(&mut *other).await.unwrap(), 1);
        other.commit().await.unwrap();
    });
    assert_eq!(retried.0, 200, "{}", retried.1);
    desk.until("late", &[("deduction", "completed")]).await;
    assert_eq!(desk.count("stock_movements WHERE kind = 'sale'").await, 1);
}
