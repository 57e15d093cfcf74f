//! The journal stumbles as Allegro's does, where the rules say so; and never otherwise.

use sandbox::Settings;
use serde_json::{Value, json};

use crate::allegro::Allegro;
use crate::sandbox_rules::days_ago;

fn open() -> (Allegro, Value) {
    let allegro = Allegro::start(Settings { device_interval: 0, seed: Some(7), ..Settings::default() });
    let pair = allegro.tokens();
    (allegro, pair)
}

fn events(allegro: &Allegro, pair: &Value, query: &str) -> Vec<Value> {
    let answer = allegro.get(pair, &format!("/order/events?limit=1000{query}"));
    assert_eq!(answer.status, 200, "{query}");
    answer.body["events"].as_array().unwrap().clone()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn id(event: &Value) -> u64 {
    let id = event["id"].as_str().unwrap();
    assert_eq!(id.len(), 16, "{id}");
    id.parse().unwrap()
}

/// One order arrives now; its events are all that is told.
fn arrive(allegro: &Allegro, cancel_percent: u64) {
    let before = allegro.admin("GET", "/stats", &json!({})).body["orders"].as_u64().unwrap();
    let wish = json!({ "count": 1, "rate_per_second": 1000, "cancel_percent": cancel_percent, "seed": 2 });
    assert_eq!(allegro.admin("POST", "/live", &wish).status, 202);
    while allegro.admin("GET", "/stats", &json!({})).body["orders"].as_u64().unwrap() == before {}
}

#[test]
fn ids_grow_and_every_fact_is_told_once_unless_told_otherwise() {
    let (allegro, pair) = open();
    arrive(&allegro, 0);
    let plain = events(&allegro, &pair, "");
    assert_eq!(types(&plain), ["BOUGHT", "FILLED_IN", "READY_FOR_PROCESSING"]);
    assert!(plain.windows(2).all(|two| id(&two[0]) < id(&two[1])));

    allegro.rule(&json!({ "journal": { "duplicate_rate": 1.0 } }));
    arrive(&allegro, 0);
    let twice = events(&allegro, &pair, &format!("&from={}", plain[2]["id"].as_str().unwrap()));
    assert_eq!(twice.len(), 6);
    for two in twice.chunks(2) {
        assert_ne!(two[0]["id"], two[1]["id"]);
        assert_eq!((&two[0]["type"], &two[0]["occurredAt"]), (&two[1]["type"], &two[1]["occurredAt"]));
        assert_eq!(two[0]["order"]["checkoutForm"], two[1]["order"]["checkoutForm"]);
    }
}

#[test]
fn a_missing_ready_event_is_sent_hours_later_and_a_cancellation_may_come_before_it() {
    let (allegro, pair) = open();
    allegro.rule(&json!({ "journal": { "missing_rate": 1.0, "resend_seconds": 7200 } }));
    arrive(&allegro, 0);
    assert_eq!(types(&events(&allegro, &pair, "")), ["BOUGHT", "FILLED_IN"]);
    let ready = allegro.get(&pair, "/order/checkout-forms?status=READY_FOR_PROCESSING").body;
    assert_eq!(ready["totalCount"], 1, "the order itself is right already");
    allegro.advance(7201);
    let late = events(&allegro, &pair, "");
    assert_eq!(types(&late), ["BOUGHT", "FILLED_IN", "READY_FOR_PROCESSING"]);
    assert!(late[2]["occurredAt"].as_str() > late[1]["occurredAt"].as_str());

    let last = late[2]["id"].as_str().unwrap().to_owned();
    allegro.rule(&json!({ "journal": { "missing_rate": 0.0, "cancel_first_rate": 1.0 } }));
    arrive(&allegro, 100);
    assert_eq!(
        types(&events(&allegro, &pair, &format!("&from={last}"))),
        ["BOUGHT", "FILLED_IN", "BUYER_CANCELLED", "READY_FOR_PROCESSING"]
    );
}

#[test]
fn late_events_get_new_ids_or_where_it_is_so_set_ids_that_were_passed_already() {
    let (allegro, pair) = open();
    allegro.rule(&json!({ "journal": { "delay_rate": 1.0, "delay_seconds": 600 } }));
    arrive(&allegro, 0);
    assert_eq!(events(&allegro, &pair, "").len(), 0);
    allegro.rule(&json!({ "journal": { "delay_rate": 0.0 } }));
    arrive(&allegro, 0);
    let seen = events(&allegro, &pair, "");
    let last = seen[2]["id"].as_str().unwrap();
    allegro.rule(&json!({ "journal": { "late_ids": true } }));
    assert_eq!(allegro.admin("POST", "/journal/flush", &json!({})).body["flushed"], 3);
    assert_eq!(
        events(&allegro, &pair, &format!("&from={last}")).len(),
        0,
        "a reader at the end never sees them"
    );
    assert_eq!(events(&allegro, &pair, "").len(), 6);
}

#[test]
fn what_happens_out_of_order_is_told_out_of_order() {
    let (allegro, pair) = open();
    allegro.rule(&json!({ "journal": { "disorder_rate": 0.5 } }));
    for _ in 0..20 {
        arrive(&allegro, 0);
    }
    allegro.admin("POST", "/journal/flush", &json!({}));
    let told = events(&allegro, &pair, "");
    assert_eq!(told.len(), 60, "nothing is lost");
    let is_later = |two: &[Value]| two[0]["occurredAt"].as_str() > two[1]["occurredAt"].as_str();
    assert!(told.windows(2).any(is_later), "id grows, occurredAt does not");
}

#[test]
fn the_journal_forgets_after_sixty_days_and_the_list_after_a_year() {
    let (allegro, pair) = open();
    let ids = allegro.orders(&json!({ "count": 30, "seed": 4, "from": days_ago(50), "to": days_ago(49) }));
    let first = events(&allegro, &pair, "")[0].clone();
    let one = format!("/order/checkout-forms/{}", ids[0]);
    allegro.advance(20 * 86_400);
    assert_eq!(allegro.get(&pair, &one).status, 401, "the token died of age");
    let pair = allegro.tokens();
    assert_eq!(events(&allegro, &pair, "").len(), 0);
    let from = format!("&from={}", first["id"].as_str().unwrap());
    assert_eq!(events(&allegro, &pair, &from).len(), 0);
    assert_eq!(allegro.get(&pair, "/order/event-stats").body["latestEvent"], Value::Null);
    allegro.rule(&json!({ "journal": { "empty_stats": "absent", "unknown_from": "refuse" } }));
    assert_eq!(allegro.get(&pair, "/order/event-stats").body, json!({}));
    assert_eq!(allegro.get(&pair, &format!("/order/events?{}", &from[1..])).status, 422);
    assert_eq!(allegro.get(&pair, &one).status, 200);

    allegro.advance(300 * 86_400);
    let pair = allegro.tokens();
    assert_eq!(allegro.get(&pair, "/order/checkout-forms").body["totalCount"], 0);
    assert_eq!(allegro.get(&pair, &one).status, 404);
}

#[test]
fn merged_orders_are_gone_their_lines_and_old_events_stay() {
    let (allegro, pair) = open();
    let ids = allegro.orders(&json!({ "count": 3, "seed": 8, "from": days_ago(9), "to": days_ago(8) }));
    let form = |id: &str| allegro.get(&pair, &format!("/order/checkout-forms/{id}"));
    let lines = |form: &Value| -> Vec<String> {
        form["lineItems"].as_array().unwrap().iter().map(|line| line["id"].to_string()).collect()
    };
    let before: Vec<String> = ids[..2].iter().flat_map(|id| lines(&form(id).body)).collect();
    let told = events(&allegro, &pair, "").len();
    let merged = allegro.admin("POST", "/orders/merge", &json!({ "orders": &ids[..2] })).body;
    let new = merged["order_id"].as_str().unwrap();
    assert_eq!(lines(&form(new).body), before);
    assert_eq!((form(&ids[0]).status, form(&ids[1]).status, form(&ids[2]).status), (404, 404, 200));
    let after = events(&allegro, &pair, "");
    assert!(after.len() > told, "old events stay, new ones tell of the new order");
    assert_eq!(after.last().unwrap()["order"]["checkoutForm"]["id"], new);
    assert_eq!(allegro.get(&pair, "/order/checkout-forms").body["totalCount"], 2);
    let again = allegro.admin("POST", "/orders/merge", &json!({ "orders": &ids[..2] }));
    assert_eq!(again.status, 404);
}

#[test]
fn orders_arrive_change_and_merge_at_every_seller() {
    let (allegro, _) = open();
    allegro.admin("POST", "/sellers", &json!({}));
    let wish = json!({
        "count": 80, "rate_per_second": 10_000, "all_sellers": true, "cancel_percent": 5, "merge_percent": 30,
        "change_percent": 50, "seed": 3,
    });
    assert_eq!(allegro.admin("POST", "/live", &wish).status, 202);
    while allegro.admin("GET", "/live", &json!({})).body["running"] == true {}
    for seller in ["1000001", "1000002"] {
        let truth = allegro.page(&format!("/_sandbox/journal?gone=true&seller_id={seller}"), &[]);
        let orders: Vec<Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let merged: Vec<&Value> = orders.iter().filter(|it| it["is_gone"] == true).collect();
        assert!(merged.len() >= 4, "{seller}: {} of {}", merged.len(), orders.len());
        assert_eq!(orders.len(), 40 + merged.len() / 2, "two become one new");
        for order in merged {
            let into = orders.iter().find(|it| it["order_id"] == order["merged_into"]).unwrap();
            assert!(into["line_items"].as_u64() > order["line_items"].as_u64());
        }
        let has =
            |kind: &str| orders.iter().any(|it| it["events"].as_array().unwrap().contains(&json!(kind)));
        assert!(has("FULFILLMENT_STATUS_CHANGED") && has("BUYER_CANCELLED"), "{seller}");
    }
}
