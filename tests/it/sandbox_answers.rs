//! Every answer of the sandbox, good or bad, has the shape Allegro's document gives it.

use std::collections::BTreeSet;

use sandbox::Settings;
use serde_json::{Value, json};

use crate::allegro::{Allegro, Answer, MEDIA_TYPE};
use crate::contract::{Contract, OpenApi};

/// A walk through the routes, that notes which answers were seen.
struct Walk {
    allegro: Allegro,
    pair: Value,
    openapi: OpenApi,
    seen: BTreeSet<(String, u16)>,
}

impl Walk {
    fn check(&mut self, (method, path): (&str, &str), status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.headers["trace-id"].len() == 16, "every answer can be quoted to Allegro");
        self.openapi.check((method, path), status, &answer.body);
        self.seen.insert((format!("{method} {path}"), status));
    }

    fn get(&mut self, path: &str, template: &str, status: u16) -> Value {
        let answer = self.allegro.get(&self.pair, path);
        assert!(status != 200 || answer.content_type == MEDIA_TYPE, "{path}: {}", answer.content_type);
        self.check(("get", template), status, &answer);
        answer.body
    }

    fn put(&mut self, path: &str, template: &str, wish: &Value, status: u16) {
        let answer = self.allegro.put(&self.pair, path, wish);
        self.check(("put", template), status, &answer);
    }
}

const LIST: &str = "/order/checkout-forms";
const ONE: &str = "/order/checkout-forms/{id}";
const FULFILLMENT: &str = "/order/checkout-forms/{id}/fulfillment";
const EVENTS: &str = "/order/events";
const STATS: &str = "/order/event-stats";
const COMMAND: &str = "/sale/offer-quantity-change-commands/{commandId}";
const TASKS: &str = "/sale/offer-quantity-change-commands/{commandId}/tasks";

#[test]
fn every_route_answers_as_the_document_says() {
    let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
    let device = allegro.device();
    Contract::of("device-code").check(&device);
    Contract::of("oauth-error").check(&allegro.poll(&device).body);
    allegro.decide(&device, "approve");
    let pair = allegro.poll(&device).body;
    Contract::of("token").check(&pair);
    let mut walk = Walk { allegro, pair, openapi: OpenApi::load(), seen: BTreeSet::new() };

    let none = walk.get(STATS, STATS, 200);
    Contract::of("order-event-stats").check(&none);
    Contract::of("me").check(&walk.get("/me", "/me", 200));
    let ids = walk.allegro.orders(&json!({ "count": 400, "seed": 5 }));
    Contract::of("order-event-stats").check(&walk.get(STATS, STATS, 200));
    Contract::of("order-events").check(&walk.get("/order/events?limit=1000", EVENTS, 200));
    every_order(&mut walk);
    every_change(&mut walk, &ids);
    every_refusal(&mut walk, &ids);
    every_command(&mut walk);

    let missing: Vec<_> = [
        ("get /me", 200),
        ("get /me", 401),
        ("get /me", 403),
        ("get /order/events", 422),
        ("get /order/checkout-forms/{id}", 404),
        ("put /order/checkout-forms/{id}/fulfillment", 409),
        ("get /sale/offers", 200),
        ("put /sale/offer-quantity-change-commands/{commandId}", 201),
    ]
    .into_iter()
    .filter(|(route, status)| !walk.seen.contains(&((*route).to_owned(), *status)))
    .collect();
    assert!(missing.is_empty(), "the walk left out {missing:?}");
}

fn every_order(walk: &mut Walk) {
    let contract = Contract::of("checkout-forms");
    let (mut statuses, mut fulfillments) = (BTreeSet::new(), BTreeSet::new());
    for offset in [0, 100, 200, 300] {
        let page = walk.get(&format!("{LIST}?limit=100&offset={offset}"), LIST, 200);
        contract.check(&page);
        for form in page["checkoutForms"].as_array().unwrap() {
            statuses.insert(form["status"].as_str().unwrap().to_owned());
            fulfillments.insert(form["fulfillment"]["status"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(statuses.len(), 3, "orders of the past are filled in, ready or cancelled: {statuses:?}");
    assert!(fulfillments.len() >= 3, "{fulfillments:?}");
}

/// Whatever happens to an order, what comes of it keeps the contract, and so do the events that tell of it.
fn every_change(walk: &mut Walk, ids: &[String]) {
    let contract = Contract::of("checkout-form");
    let actions = [
        ("fill-in", None),
        ("pay", None),
        ("surcharge", None),
        ("buyer-cancel", None),
        ("auto-cancel", None),
        ("seller-cancel", None),
        ("change-address", None),
        ("return", None),
        ("lose-data", None),
        ("fulfill", Some("READY_FOR_PICKUP")),
        ("sent", Some("SOME")),
    ];
    for ((action, status), id) in actions.into_iter().zip(ids) {
        let wish = status.map_or_else(|| json!({}), |status| json!({ "status": status }));
        assert_eq!(walk.allegro.admin("POST", &format!("/orders/{id}/{action}"), &wish).status, 200);
        contract.check(&walk.get(&format!("{LIST}/{id}"), ONE, 200));
    }
    let merged = walk.allegro.admin("POST", "/orders/merge", &json!({ "orders": &ids[20..22] })).body;
    contract.check(&walk.get(&format!("{LIST}/{}", merged["order_id"].as_str().unwrap()), ONE, 200));
    Contract::of("order-events").check(&walk.get("/order/events?limit=1000", EVENTS, 200));
}

fn every_refusal(walk: &mut Walk, ids: &[String]) {
    let (one, upper) = (format!("{LIST}/{}", ids[50]), format!("{LIST}/{}", ids[50].to_uppercase()));
    let errors = Contract::of("errors");
    for (path, template, status) in [
        (upper.as_str(), ONE, 404),
        ("/order/checkout-forms/00000000-0000-1000-8000-000000000000", ONE, 404),
        ("/order/checkout-forms/seven", ONE, 422),
        ("/order/checkout-forms?offset=9901&limit=100", LIST, 422),
        ("/order/checkout-forms?limit=101", LIST, 422),
        ("/order/checkout-forms?sort=createdAt", LIST, 422),
        ("/order/checkout-forms?status=OPEN", LIST, 422),
        ("/order/checkout-forms?updatedAt.gte=yesterday", LIST, 422),
        ("/order/events?limit=1001", EVENTS, 422),
        ("/order/events?from=2026-01-01T00:00:00Z", EVENTS, 422),
        ("/order/events?type=ORDER_STATUS_CHANGED", EVENTS, 422),
    ] {
        errors.check(&walk.get(path, template, status));
    }
    let fulfillment = format!("{one}/fulfillment");
    let stale = format!("{fulfillment}?checkoutForm.revision=00000000");
    walk.put(&stale, FULFILLMENT, &json!({ "status": "SENT" }), 409);
    walk.put(&fulfillment, FULFILLMENT, &json!({ "status": "RETURNED" }), 422);
    walk.put(&fulfillment, FULFILLMENT, &json!({}), 422);
    let sent = json!({ "status": "SENT", "shipmentSummary": { "lineItemsSent": "ALL" } });
    walk.put(&fulfillment, FULFILLMENT, &sent, 204);
    walk.allegro.rule(&json!({ "api": { "changes_per_order": 1 } }));
    walk.put(&fulfillment, FULFILLMENT, &sent, 422);

    let token = walk.pair["access_token"].as_str().unwrap().to_owned();
    let unacceptable = walk.allegro.get_as(&token, "application/json", LIST);
    walk.check(("get", LIST), 406, &unacceptable);
    let stranger = walk.allegro.get_as("eyJ.eyJ.x", MEDIA_TYPE, "/me");
    assert_eq!(stranger.body["error_description"], "Cannot convert access token to JSON");
    walk.check(("get", "/me"), 401, &stranger);
    let wish = json!({ "scope": "allegro:api:orders:read" });
    let narrow = walk.allegro.admin("POST", "/sellers/1000001/tokens", &wish).body;
    let forbidden = walk.allegro.get(&narrow, "/me");
    walk.check(("get", "/me"), 403, &forbidden);
    let text = walk.allegro.put_as(&walk.pair, &fulfillment, "application/json", &sent);
    walk.check(("put", FULFILLMENT), 415, &text);
}

fn every_command(walk: &mut Walk) {
    let id = "1ae0e1a7-3e3b-4b87-9f0a-3d1c4f1e8a10";
    let path = format!("/sale/offer-quantity-change-commands/{id}");
    let by = |kind: &str, value: i64, offer: &str| {
        json!({
            "modification": { "changeType": kind, "value": value },
            "offerCriteria": [{ "type": "CONTAINS_OFFERS", "offers": [{ "id": offer }] }],
        })
    };
    let offers = walk.get("/sale/offers?external.id=AH-000", "/sale/offers", 200);
    let (offer, before) = (&offers["offers"][0]["id"], &offers["offers"][0]["stock"]["available"]);
    let (offer, before) = (offer.as_str().unwrap().to_owned(), before.as_i64().unwrap());
    walk.put(&path, COMMAND, &by("FIXED", 0, &offer), 422);
    walk.put(&path, COMMAND, &by("GAIN", -3, &offer), 201);
    walk.put(&path, COMMAND, &by("GAIN", -3, &offer), 409);
    assert_eq!(walk.get(&path, COMMAND, 200)["taskCount"]["success"], 1);
    assert_eq!(walk.get(&format!("{path}/tasks"), TASKS, 200)["tasks"][0]["status"], "SUCCESS");
    let after = walk.get("/sale/offers?external.id=AH-000", "/sale/offers", 200);
    assert_eq!(
        after["offers"][0]["stock"]["available"],
        before - 3,
        "the id makes a repeated command harmless"
    );
}

/// Absent values are null, or left out where the rules say so.
#[test]
fn nulls_are_told_unless_they_shall_not_be() {
    let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
    let pair = allegro.tokens();
    let id = allegro.orders(&json!({ "count": 1, "seed": 3 })).remove(0);
    let path = format!("{LIST}/{id}");
    let buyer = |allegro: &Allegro| allegro.get(&pair, &path).body["buyer"].clone();
    assert!(buyer(&allegro).get("companyName").is_some_and(Value::is_null));
    allegro.rule(&json!({ "api": { "explicit_nulls": false } }));
    assert!(buyer(&allegro).get("companyName").is_none());
}
