//! Which orders are taken from the shelf, and which lines are taken only once.

use domain::TokenId;
use domain::events::OrderEvent;
use serde_json::{Value, json};
use testkit::eventually;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::support::{Desk, cancelled, connected, order, ready, token};

fn twin() -> TokenId {
    Uuid::from_u128(2).into()
}

/// The order that its buyer paid this one with.
fn merged_of(first: &OrderEvent) -> OrderEvent {
    let later = OffsetDateTime::now_utc() + Duration::seconds(1);
    let line_items = first.line_items.clone();
    OrderEvent { line_items, first_stored_at: Some(later), ..order("merged", &[]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_bought_before_and_paid_after_the_start_is_taken() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let early = Some(OffsetDateTime::now_utc() - Duration::days(3));
    let paid = Some(OffsetDateTime::now_utc());
    let alone =
        OrderEvent { order_date: early, ready_at: paid, backfill: true, ..order("alone", &[("wosk", 1)]) };
    desk.tell(&[ready(alone.clone())]).await;
    desk.until("alone", &[("deduction", "completed")]).await;
    let part = order("part", &[("wosk", 2)]);
    let together = OrderEvent { order_date: early, ready_at: paid, ..merged_of(&part) };
    desk.tell(&[ready(together)]).await;
    desk.until("merged", &[("deduction", "completed")]).await;
    assert_eq!(desk.on_hand("wosk"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_an_unknown_account_wait_until_it_is_known() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let sold = OrderEvent { token_id: twin(), ..order("sold", &[("wosk", 1)]) };
    desk.tell(&[ready(sold)]).await;
    let waits = async || desk.service.log().contains("is not known yet").then_some(());
    eventually("the event to wait", waits).await;
    assert_eq!(desk.on_hand("wosk"), 10);
    desk.tell_until_taken(&[connected(twin())]).await;
    desk.until("sold", &[("deduction", "completed")]).await;
    assert_eq!(desk.on_hand("wosk"), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_before_the_start_or_is_shipped_by_allegro_takes_nothing() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.tell_until_taken(&[connected(token())]).await;
    let early = OffsetDateTime::now_utc() - Duration::hours(2);
    let not_ours = [
        OrderEvent { ready_at: Some(early), ..order("history", &[("wosk", 1)]) },
        OrderEvent { order_date: Some(early), ..order("early", &[("wosk", 1)]) },
        OrderEvent { fulfillment_provider: Some("ALLEGRO".to_owned()), ..order("allegro", &[("wosk", 1)]) },
    ];
    // Cancelled before, after, and without being ready.
    desk.tell_until_taken(&not_ours.clone().map(ready)).await;
    desk.tell_until_taken(&not_ours.clone().map(cancelled)).await;
    desk.tell_until_taken(&not_ours.clone().map(ready)).await;
    desk.tell_until_taken(&[cancelled(order("never", &[("wosk", 1)]))]).await;
    assert_eq!((desk.on_hand("wosk"), desk.count("pending_stock_operations").await), (10, 0));

    let accounts = desk.service.get("/stock-sync/accounts").1;
    assert_eq!(accounts["items"][0]["stock_from"], accounts["items"][0]["connected_at"]);
    let path = format!("/stock-sync/accounts/{}", token());
    let (status, body) = desk.service.patch(&path, &json!({ "stock_from": "2099-01-01T00:00:00Z" }));
    assert_eq!((status, &body["stock_from"]), (200, &json!("2099-01-01T00:00:00Z")));
    desk.tell_until_taken(&[ready(order("too-early", &[("wosk", 1)]))]).await;
    assert_eq!(desk.on_hand("wosk"), 10);
    let (status, _) = desk.service.post("/warehouses", &json!({ "name": "Łódź" }));
    assert_eq!(status, 201);
    let (status, body) =
        desk.service.patch(&path, &json!({ "stock_from": "2020-01-01T00:00:00Z", "warehouse": "Łódź" }));
    assert_eq!((status, &body["warehouse"]), (200, &json!("Łódź")));
    let (status, problem) =
        desk.service.patch("/warehouses/%C5%81%C3%B3d%C5%BA", &json!({ "is_active": false }));
    assert_eq!((status, &problem["code"]), (409, &json!("warehouse_in_use")));
    let added = json!({ "sku": "wosk", "warehouse": "Łódź", "delta": 3, "kind": "receipt" });
    assert_eq!(desk.service.post("/stock/adjustments", &added).0, 200);
    desk.tell(&[ready(order("there", &[("wosk", 2)]))]).await;
    desk.until("there", &[("deduction", "completed")]).await;
    let levels = desk.service.get("/stock?sku=wosk").1;
    let levels: Vec<(Value, Value)> = levels["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["warehouse"].clone(), it["on_hand"].clone()))
        .collect();
    assert_eq!(levels, [(json!("Łódź"), json!(1)), (json!("Ирина"), json!(10))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_seen_through_two_accounts_or_in_a_merged_order_is_taken_once_and_comes_back_once() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let first = order("first", &[("wosk", 3)]);
    let seen_again = OrderEvent { token_id: twin(), ..first.clone() };
    let merged = merged_of(&first);
    desk.tell_until_taken(&[connected(twin())]).await;
    desk.tell_until_taken(&[ready(first.clone()), ready(seen_again.clone()), ready(merged.clone())]).await;
    desk.until("first", &[("deduction", "completed"); 2]).await;
    desk.until("merged", &[("deduction", "completed")]).await;
    assert_eq!(desk.on_hand("wosk"), 7);
    assert_eq!((desk.backup.marks("first"), desk.backup.marks("merged")), (vec![true], vec![true]));

    // Allegro cancels what was merged away, and the other account tells the same.
    desk.tell_until_taken(&[cancelled(merged), cancelled(first), cancelled(seen_again)]).await;
    let done = "pending_stock_operations WHERE operation_type = 'refund' AND status = 'completed'";
    eventually("every order to be told of", async || (desk.count(done).await == 3).then_some(())).await;
    assert_eq!(desk.on_hand("wosk"), 10);
    assert_eq!(desk.count("stock_movements WHERE kind = 'refund'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_a_sku_is_told_of_and_the_rest_goes_on() {
    let desk = Desk::open().await;
    desk.put("wosk", 5);
    for name in ["sold", "another"] {
        let mut sold = order(name, &[("", 1), ("wosk", 2)]);
        sold.line_items[0].sku = None;
        desk.tell(&[ready(sold)]).await;
        desk.until(name, &[("deduction", "failed"), ("deduction", "completed")]).await;
        assert_eq!(desk.backup.marks(name), [true]);
    }
    assert_eq!(desk.on_hand("wosk"), 1);
    let open = "alerts WHERE severity <> 'info' AND cleared_at IS NULL";
    assert_eq!(
        (desk.count(open).await, desk.count("alerts WHERE kind = 'lines_without_sku'").await),
        (1, 1),
        "once"
    );
    for name in ["sold", "another"] {
        desk.look_over().await;
        assert_eq!(desk.count(open).await, 1, "a line still waits");
        let id = desk.operations(name)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(desk.service.delete(&format!("/stock-sync/cancel/{id}")).0, 200);
    }
    desk.look_over().await;
    assert_eq!(desk.count(open).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_allowed_a_sale_may_take_more_than_there_is() {
    let desk = Desk::open_with(&[("STOCK_SYNC_SHORTAGE", "allow_negative")]).await;
    desk.put("wosk", 1);
    desk.tell(&[ready(order("sold", &[("wosk", 2), ("nowy", 4)]))]).await;
    desk.until("sold", &[("deduction", "completed"); 2]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("nowy")), (-1, -4));
}
