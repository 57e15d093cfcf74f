//! An order's way from Allegro to the shelf and to its mark at allegro-backup.

use serde_json::json;

use crate::stock_shop::{Order, Shop, sum};

/// Orders that arrive.
const ORDERS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_at_allegro_leaves_the_shelf_and_is_marked_and_what_is_cancelled_comes_back() {
    let shop = Shop::open().await;
    // What was sold before sells nothing now.
    let past = shop.allegro.orders(&json!({ "count": 5, "seed": 1 }));
    let mine = shop.connect("sklep").await;
    // The same seller once more: each line is sold once all the same.
    let twin = shop.connect("ksiegowa").await;
    let both = [&mine, &twin];

    let wish = json!({ "count": ORDERS, "rate_per_second": 50, "seed": 3 });
    assert_eq!(shop.allegro.admin("POST", "/live", &wish).status, 202);
    let arrived = || -> Vec<Order> {
        let mut all = shop.orders();
        all.retain(|order| !past.contains(&order.id));
        all
    };
    let sold: Vec<Order> = testkit::eventually("the orders to arrive", async || {
        Some(arrived()).filter(|all| all.len() == ORDERS)
    })
    .await;
    let ours: Vec<&Order> = sold.iter().filter(|order| order.is_ours).collect();
    assert!(ours.len() >= 4, "the seed gives enough: {sold:?}");
    for order in &ours {
        shop.until_marked(&order.id, &both, true).await;
    }
    assert_eq!(shop.gone(), sum(ours.iter().copied()), "taken once");

    let [cancelled, first, second, rest @ ..] = ours.as_slice() else { unreachable!() };
    let path = format!("/orders/{}/buyer-cancel", cancelled.id);
    assert_eq!(shop.allegro.admin("POST", &path, &json!({})).status, 200);
    shop.until_marked(&cancelled.id, &both, false).await;
    assert_eq!(shop.gone(), sum([*first, *second].into_iter().chain(rest.iter().copied())), "back once");

    // Paid together: one new order with the lines of both, which have left the shelf.
    let paid = shop.allegro.admin("POST", "/orders/merge", &json!({ "orders": [first.id, second.id] }));
    let merged = paid.body["order_id"].as_str().unwrap();
    shop.until_marked(merged, &both, true).await;
    assert_eq!(
        shop.gone(),
        sum([*first, *second].into_iter().chain(rest.iter().copied())),
        "not taken again"
    );
    let path = format!("/orders/{merged}/buyer-cancel");
    assert_eq!(shop.allegro.admin("POST", &path, &json!({})).status, 200);
    shop.until_marked(merged, &both, false).await;
    assert_eq!(shop.gone(), sum(rest.iter().copied()), "what left with both is back");

    for token_id in both {
        for order in &past {
            shop.until_marked(order, &[token_id], false).await;
        }
        let (status, report) = shop.stock.post("/stock-sync/reconcile", &json!({ "token_id": token_id }));
        assert_eq!((status, &report["discrepancies"]), (200, &json!([])), "{report}");
    }
    assert!(shop.orders().iter().filter(|order| order.is_cancelled).count() >= 2);
}
