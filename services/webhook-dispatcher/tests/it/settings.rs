//! What an owner decides about a subscription, and what it does to what is sent.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::{Desk, Receiver, all_to, event};

/// A certificate of its own making and its key, as PEM.
fn identity() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_set_is_shown_changed_and_taken_away_but_for_what_is_secret() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (certificate, key) = identity();
    let wish = json!({
        "url": receiver.url, "events": ["account.*"], "name": "Magazyn", "description": "żółty",
        "api_version": "v1", "retry_count": 2, "retry_schedule": [1, 2, 3], "timeout_seconds": 7,
        "rate_limit_per_second": 500, "max_concurrency": 3, "ordered": true, "ordering_key": "/token_id",
        "payload_style": "legacy", "seed_signature": true, "custom_ca": certificate,
        "headers": { "X-Tenant": "zielony", "Authorization": "Bearer tajne-slowo" },
        "client_certificate": format!("{certificate}{key}"),
    });
    let (id, secret) = desk.subscribe(&wish);
    let path = format!("/webhooks/{id}");
    let (_, shown) = desk.service.get(&path);
    for (name, value) in wish.as_object().unwrap() {
        if !["headers", "client_certificate"].contains(&name.as_str()) {
            assert_eq!(shown[name], *value, "{name}");
        }
    }
    assert_eq!(shown["header_names"], json!(["Authorization", "X-Tenant"]));
    assert_eq!(
        (&shown["has_client_certificate"], &shown["health"]["circuit_state"]),
        (&json!(true), &json!("closed"))
    );
    assert!(!shown.to_string().contains("tajne"), "{shown}");
    for table in ["webhook_subscriptions", "webhook_credentials"] {
        let clear = format!("{table} t WHERE t::text ~ encode('tajne', 'hex')");
        assert_eq!(desk.count(&clear).await, 0, "{table} holds secrets sealed");
    }

    // What is named changes, the rest and what is sealed stays.
    let (_, changed) = desk.service.patch(&path, &json!({ "max_concurrency": 8, "name": null }));
    assert_eq!((&changed["max_concurrency"], &changed["name"]), (&json!(8), &json!(null)));
    assert_eq!(
        (&changed["header_names"], &changed["rate_limit_per_second"]),
        (&shown["header_names"], &json!(500))
    );
    desk.tell(&[event(1)]).await;
    let hit = &receiver.until_hits(1).await[0];
    assert_eq!(
        (&hit.headers["x-tenant"], &hit.headers["authorization"]),
        (&"zielony".parse().unwrap(), &"Bearer tajne-slowo".parse().unwrap())
    );
    let content = hit.content();
    let names: Vec<&str> = content.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &content["event"]), (vec!["data", "event", "timestamp"], &json!("account_connected")));
    Webhook::new(&secret).unwrap().verify(&hit.body, &hit.headers).unwrap();
    assert!(hit.headers["x-webhook-signature"].to_str().unwrap().starts_with("sha256="));

    let nothing: Vec<(String, Value)> = wish
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !["url", "events"].contains(&name.as_str()))
        .map(|name| (name.clone(), Value::Null))
        .collect();
    let (status, bare) = desk.service.patch(&path, &Value::Object(nothing.into_iter().collect()));
    assert_eq!(status, 200, "{bare}");
    let fresh = desk
        .service
        .get(&format!(
            "/webhooks/{}",
            desk.subscribe(&json!({ "url": receiver.url, "events": ["account.*"] })).0
        ))
        .1;
    for (name, value) in fresh.as_object().unwrap() {
        if !["id", "created_at", "health", "updated_at"].contains(&name.as_str()) {
            assert_eq!(bare[name], *value, "{name} has its default again");
        }
    }

    // The name callers of before know.
    let (_, changed) = desk.service.patch(&path, &json!({ "timeout": 9 }));
    assert_eq!(changed["timeout_seconds"], 9, "{changed}");
    let (_, made) =
        desk.service.post("/webhooks", &json!({ "url": receiver.url, "events": ["*"], "timeout": 3 }));
    assert_eq!(made["timeout_seconds"], 3, "{made}");
    let both = json!({ "url": receiver.url, "events": ["*"], "timeout": 3, "timeout_seconds": 4 });
    assert_eq!((desk.service.post("/webhooks", &both).0, desk.service.patch(&path, &both).0), (400, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_secret_signs_too_until_its_time_is_over() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, first) = desk.subscribe(&all_to(&receiver));
    let rotate = format!("/webhooks/{id}/rotate-secret");
    let (status, rotated) = desk.service.post(&rotate, &json!({}));
    assert_eq!(status, 200, "{rotated}");
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let (_, rotated) = desk.service.post(
        &rotate,
        &json!({ "secret_key": format!("whsec_{}", "A".repeat(40)), "overlap_seconds": 604_800 }),
    );
    let third = rotated["secret"].as_str().unwrap().to_owned();

    desk.tell(&[event(1)]).await;
    let hit = &receiver.until_hits(1).await[0];
    assert_eq!(hit.headers["webhook-signature"].to_str().unwrap().split(' ').count(), 3);
    for secret in [&first, &second, &third] {
        Webhook::new(secret).unwrap().verify(&hit.body, &hit.headers).unwrap();
    }

    // The one that leaked is replaced at once; those before it go on.
    let leaked = third;
    let (_, rotated) = desk.service.post(&rotate, &json!({ "overlap_seconds": 0 }));
    let fourth = rotated["secret"].as_str().unwrap().to_owned();
    let signs = async |secret: &str| {
        let before = receiver.hits().len();
        desk.tell(&[event(2)]).await;
        let hits = receiver.until_hits(before + 1).await;
        Webhook::new(secret).unwrap().verify(&hits[before].body, &hits[before].headers).is_ok()
    };
    testkit::eventually("the fourth to sign", async || signs(&fourth).await.then_some(())).await;
    assert!(signs(&first).await && !signs(&leaked).await);

    for (wish, expected) in [
        (json!({ "secret": fourth }), (409, "secret_known")),
        (json!({ "secret": first }), (409, "secret_known")),
        (json!({ "secret": "whsec_c2hvcnQ=" }), (400, "invalid_content")),
        (json!({ "overlap_seconds": -1 }), (400, "invalid_content")),
        (json!({ "overlap_seconds": 604_801 }), (400, "invalid_content")),
    ] {
        let (status, problem) = desk.service.post(&rotate, &wish);
        assert_eq!((status, problem["code"].as_str().unwrap()), expected, "{wish}");
    }
    let mut secrets = BTreeSet::new();
    let refused = (0..20).map(|_| desk.service.post(&rotate, &json!({}))).find(|(status, answer)| {
        secrets.insert(answer["secret"].to_string());
        *status != 200
    });
    assert_eq!(refused.unwrap().1["code"], "too_many_secrets");
    assert_eq!(secrets.len(), 9, "ten may sign beside the present one, and two did");
}
