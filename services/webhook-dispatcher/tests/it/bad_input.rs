//! Bad input gets a clear answer that names the field, and never a 5xx.

use serde_json::{Value, json};

use testkit::eventually;

use crate::support::{Desk, Receiver, all_to, event};

/// The status, and pointer and code of each error.
pub(crate) fn errors_of((status, body): (u16, Value)) -> (u16, Vec<(String, String)>) {
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let text = |error: &Value, field: &str| error[field].as_str().unwrap().to_owned();
    (status, errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_subscriptions_are_refused_with_every_reason() {
    // As in production: no private networks, no http.
    let desk = Desk::open_with(&[]).await;
    let good = json!({ "url": "https://shop.example/hooks", "events": ["order.created", "account.*"] });
    assert_eq!(desk.service.post("/webhooks", &good).0, 201);
    let with = |field: &str, value: Value| {
        let mut wish = good.clone();
        wish[field] = value;
        wish
    };
    let refused = "address_refused";
    for (wish, expected) in [
        (with("url", json!("not a url")), vec![("/url", "malformed")]),
        (with("url", json!(" https://shop.example/hooks")), vec![("/url", "malformed")]),
        (with("url", json!("https://shop.example/hooks\n")), vec![("/url", "malformed")]),
        (with("url", json!("https://shop.exa\tmple/hooks")), vec![("/url", "malformed")]),
        (with("url", json!("https://shop.example/\u{7f}")), vec![("/url", "malformed")]),
        (with("url", json!("https://shop.example/hooks#part")), vec![("/url", "malformed")]),
        (with("url", json!("https://shop.example/…")), vec![("/url", "malformed")]),
        (with("url", json!(format!("https://shop.example/{}", "ż".repeat(400)))), vec![("/url", "too_long")]),
        (with("url", json!("http://shop.example/")), vec![("/url", refused)]),
        (with("url", json!("ftp://shop.example/")), vec![("/url", refused)]),
        (with("url", json!("https://user:word@shop.example/")), vec![("/url", refused)]),
        (with("url", json!("https://169.254.169.254/latest/meta-data")), vec![("/url", refused)]),
        (with("url", json!("https://[::ffff:127.0.0.1]/")), vec![("/url", refused)]),
        (with("url", json!("https://0x7f.1/")), vec![("/url", refused)]),
        (with("url", json!("https://shop.example:22/")), vec![("/url", refused)]),
        (with("events", json!([])), vec![("/events", "wrong_length")]),
        (with("events", json!(["order.shipped", "*"])), vec![("/events/0", "unknown_event_type")]),
        (with("secret", json!("whsec_c2hvcnQ=")), vec![("/secret", "weak_secret")]),
        (with("secret_key", json!("whsec_not base64")), vec![("/secret_key", "weak_secret")]),
        (with("timeout_seconds", json!(31)), vec![("/timeout_seconds", "out_of_range")]),
        (with("retry_count", json!(-1)), vec![("/retry_count", "out_of_range")]),
        (with("retry_schedule", json!([5, 0])), vec![("/retry_schedule/1", "out_of_range")]),
        (with("retry_schedule", json!([])), vec![("/retry_schedule", "wrong_length")]),
        (with("rate_limit_per_second", json!(0)), vec![("/rate_limit_per_second", "out_of_range")]),
        (with("max_concurrency", json!(65)), vec![("/max_concurrency", "out_of_range")]),
        (with("ordering_key", json!("/id")), vec![("/ordering_key", "not_ordered")]),
        (with("payload_style", json!("xml")), vec![("/payload_style", "not_allowed")]),
        (with("api_version", json!("v2")), vec![("/api_version", "unknown_version")]),
        (with("custom_ca", json!("no pem")), vec![("/custom_ca", "malformed")]),
        (with("client_certificate", json!("no pem")), vec![("/client_certificate", "malformed")]),
        (with("headers", json!({ "Host": "other" })), vec![("/headers/Host", "header_refused")]),
        (with("headers", json!({ "X": "a\nb" })), vec![("/headers/X", "malformed")]),
        (with("name", json!("n".repeat(101))), vec![("/name", "too_long")]),
        (with("colour", json!("green")), vec![("/colour", "unknown_field")]),
        (with("description", json!("\u{0}")), vec![("/description", "nul_character")]),
        (
            json!({ "url": "https://10.0.0.1/", "events": ["x"], "timeout_seconds": 0 }),
            vec![
                ("/url", refused),
                ("/events/0", "unknown_event_type"),
                ("/timeout_seconds", "out_of_range"),
            ],
        ),
    ] {
        let (status, errors) = errors_of(desk.service.post("/webhooks", &wish));
        let errors: Vec<(&str, &str)> =
            errors.iter().map(|(at, code)| (at.as_str(), code.as_str())).collect();
        assert_eq!((status, errors), (400, expected), "{wish}");
    }
    assert_eq!(desk.count("webhook_subscriptions").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_listed_changed_and_removed() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(500);
    // Whatever was tried once stays on its way.
    let wish = json!({ "url": receiver.url, "events": ["*"], "retry_schedule": [3600] });
    let ids: Vec<String> = (0..3).map(|_| desk.subscribe(&wish).0).collect();
    let (_, first) = desk.service.get("/webhooks?limit=2");
    let (_, second) =
        desk.service.get(&format!("/webhooks?limit=2&cursor={}", first["next_cursor"].as_str().unwrap()));
    let listed: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ids.iter().rev().map(String::as_str).collect::<Vec<_>>());

    let path = format!("/webhooks/{}", ids[0]);
    let (status, changed) = desk.service.patch(&path, &json!({ "description": "żółty", "retry_count": 1 }));
    assert_eq!((status, &changed["description"], &changed["retry_count"]), (200, &json!("żółty"), &json!(1)));
    let (_, changed) = desk.service.patch(&path, &json!({ "description": null }));
    assert_eq!((&changed["description"], &changed["retry_count"]), (&json!(null), &json!(1)));
    for (wish, expected) in [
        (json!({ "events": [] }), ("/events", "wrong_length")),
        (json!({ "events": null }), ("/events", "wrong_type")),
        (json!({ "colour": 1 }), ("/colour", "unknown_field")),
        (json!({ "secret": "whsec_x" }), ("/secret", "not_changeable")),
        (json!({ "ordering_key": "/id" }), ("/ordering_key", "not_ordered")),
    ] {
        let (status, errors) = errors_of(desk.service.patch(&path, &wish));
        let (at, code) = &errors[0];
        assert_eq!((status, (at.as_str(), code.as_str())), (400, expected), "{wish}");
    }

    // What is on its way to a removed subscription is called off.
    desk.tell(&[event(1)]).await;
    desk.until("webhook_deliveries WHERE attempts = 1", 3).await;
    assert_eq!(desk.service.delete(&path).0, 204);
    assert_eq!((desk.service.get(&path).0, desk.service.delete(&path).0), (404, 404));
    desk.until("webhook_deliveries WHERE status = 'cancelled'", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_their_own_subscriptions_only() {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let both = "webhook-dispatcher:read webhook-dispatcher:write";
    let (stranger, of_events) = (Receiver::answering(200), "sklep-ząbek");
    desk.service.token = desk.service.token_of("stranger", both);
    desk.subscribe(&all_to(&stranger));
    desk.service.token = desk.service.token_of(of_events, both);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&[event(1)]).await;
    let delivery = desk.delivery(&id, "success").await["id"].as_str().unwrap().to_owned();

    assert_eq!(desk.count("webhook_deliveries").await, 1, "nobody is told of another user's things");
    assert_eq!(stranger.hits().len(), 0);

    desk.service.token = desk.service.token_of("second", both);
    for path in
        [format!("/webhooks/{id}"), format!("/webhooks/{id}/deliveries"), format!("/deliveries/{delivery}")]
    {
        assert_eq!(desk.service.get(&path).0, 404, "{path}");
    }
    assert_eq!(desk.service.delete(&format!("/webhooks/{id}")).0, 404);
    assert_eq!(desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": false })).0, 404);
    assert_eq!(desk.service.get("/webhooks").1["items"], json!([]));
    for path in ["/webhooks/7", "/deliveries/7", "/webhooks?cursor=x", "/webhooks?limit=999"] {
        assert_eq!(desk.service.get(path).0, 400, "{path}");
    }
    let types = desk.service.get("/event-types").1;
    assert!(types["items"].as_array().unwrap().iter().any(|item| item["type"] == "order.created"), "{types}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_set_aside_and_its_keeper_sees_and_drops_it() {
    let desk = Desk::open().await;
    let columns = "id, type, subject, partition_key, body";
    let id = "01936b2e-7c00-7000-8000-000000000001";
    desk.execute(&format!(
        "INSERT INTO outbox ({columns}) VALUES ('{id}', 'order.created', 's', 'p', '{{ no')"
    ))
    .await;
    let listed = eventually("one set aside", async || {
        let listed = desk.service.run(&["dead", "list", "--type", "order.created"]);
        listed.contains("1 shown of 1").then_some(listed)
    })
    .await;
    assert!(listed.contains(&format!("{id}\torder.created\t-\t1\t")), "{listed}");
    let shown: Value = serde_json::from_str(&desk.service.run(&["dead", "show", id])).unwrap();
    assert_eq!((&shown["body"], &shown["from"]), (&json!("{ no"), &json!("webhook-dispatcher.events")));
    assert_eq!(desk.service.run(&["dead", "drop", id]), "1 dropped");
    assert_eq!(desk.service.run(&["dead", "requeue", "--all"]), "0 requeued");
}
