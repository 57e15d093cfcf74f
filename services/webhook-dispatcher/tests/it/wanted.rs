//! Who is told what: filters, order, tests, and events of outside producers.

use std::thread;
use std::time::Duration;

use domain::events::Envelope;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::eventually_within;

use crate::support::{Desk, Receiver, all_to, event};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_leaves_out_is_counted() {
    let desk = Desk::open().await;
    let (some, all) = (Receiver::answering(200), Receiver::answering(200));
    let filter = json!({ "all": [
        { "path": "/allegro_seller_id", "gte": 90 },
        { "not": { "path": "/allegro_seller_id", "in": ["95", "96"] } },
    ] });
    let (id, _) = desk.subscribe(&json!({ "url": some.url, "events": ["account.*"], "filter": filter }));
    desk.subscribe(&all_to(&all));
    assert_eq!(desk.service.get(&format!("/webhooks/{id}")).1["filter"], filter);
    desk.tell(&(0..100).map(event).collect::<Vec<Envelope>>()).await;
    desk.until("webhook_deliveries WHERE status = 'success'", 108).await;
    let mut sellers: Vec<u32> = some
        .hits()
        .iter()
        .map(|hit| hit.content()["data"]["allegro_seller_id"].as_str().unwrap().parse().unwrap())
        .collect();
    sellers.sort_unstable();
    assert_eq!(sellers, [90, 91, 92, 93, 94, 97, 98, 99]);
    let (_, counted) = desk.service.get(&format!("/webhooks/{id}/stats"));
    assert_eq!(counted["ever"], json!({ "filtered": 92, "success": 8 }));

    let wrong = json!({ "filter": { "any": [{ "path": "seller", "eq": 1 }] } });
    let (status, problem) = desk.service.patch(&format!("/webhooks/{id}"), &wrong);
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/filter/any/0/path")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_to_its_subscription_only() {
    let desk = Desk::open().await;
    let (tested, other) = (Receiver::answering(200), Receiver::answering(200));
    let (id, secret) = desk.subscribe(&json!({ "url": tested.url, "events": ["order.created"] }));
    desk.subscribe(&all_to(&other));
    let (status, sent) = desk.service.post(&format!("/webhooks/{id}/test"), &json!({}));
    assert_eq!(status, 202, "{sent}");
    let hit = &tested.until_hits(1).await[0];
    Webhook::new(&secret).unwrap().verify(&hit.body, &hit.headers).unwrap();
    assert_eq!(
        (&hit.content()["type"], &hit.content()["data"]["webhook_id"]),
        (&json!("webhook.test"), &json!(id))
    );
    let delivery = desk.delivery(&id, "success").await;
    assert_eq!((&delivery["id"], &delivery["trigger"]), (&sent["delivery_id"], &json!("test")));
    assert_eq!(other.hits().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_event_is_taken_in_once_and_reaches_whom_it_concerns() {
    let mut desk = Desk::open().await;
    let (all, of_anna, of_jan) =
        (Receiver::answering(200), Receiver::answering(200), Receiver::answering(200));
    let both = "webhook-dispatcher:read webhook-dispatcher:write";
    let ours = desk.service.token.clone();
    let wish = |receiver: &Receiver| json!({ "url": receiver.url, "events": ["custom.*"] });
    desk.subscribe(&wish(&all));
    for (user, receiver) in [("jan", &of_jan), ("anna", &of_anna)] {
        desk.service.token = desk.service.token_of(user, both);
        desk.subscribe(&wish(receiver));
    }
    // Anna's credential, whatever the data say.
    let event = json!({ "type": "custom.parcel_weighed", "subject": "7", "timestamp": "2026-11-21T08:00:00Z",
        "data": { "grams": 420, "user_id": "jan" } });
    let replica = desk.service.replica();
    let token = desk.service.token.clone();
    let ask = |n: usize| {
        let program = if n.is_multiple_of(2) { &desk.service } else { &replica };
        program.call("POST", "/api/v1/events", Some(&token), "one-event", &event)
    };
    let answers: Vec<(u16, Value)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|n| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(n)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|(status, _)| [202, 409].contains(status)), "{answers:?}");
    let (_, accepted) = answers.iter().find(|(status, _)| *status == 202).unwrap();
    assert_eq!(accepted["deliveries"], 2);
    for receiver in [&all, &of_anna] {
        let hit = &receiver.until_hits(1).await[0];
        assert_eq!(
            (hit.id(), &hit.content()["timestamp"]),
            (accepted["id"].as_str().unwrap(), &json!("2026-11-21T08:00:00Z"))
        );
    }
    desk.until("webhook_deliveries WHERE status = 'success'", 2).await;
    assert_eq!((all.hits().len(), of_anna.hits().len(), of_jan.hits().len()), (1, 1, 0));

    desk.service.token = ours;
    for (kind, data, pointer, code) in [
        ("order.created", json!({}), "/type", "type_not_allowed"),
        ("webhook.test", json!({}), "/type", "type_not_allowed"),
        ("custom.Żółw", json!({}), "/type", "malformed"),
        ("custom", json!({}), "/type", "malformed"),
        ("custom.x", json!({ "text": "x".repeat(300 * 1024) }), "/data", "too_long"),
        ("custom.x", json!([]), "/data", "wrong_type"),
    ] {
        let (status, problem) = desk.service.post("/events", &json!({ "type": kind, "data": data }));
        let error = &problem["errors"][0];
        assert_eq!(
            (status, &error["pointer"], &error["code"]),
            (400, &json!(pointer), &json!(code)),
            "{kind}"
        );
    }
    assert_eq!(desk.count("messages").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_with_u0000_are_delivered_as_they_are() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let wish = json!({ "url": receiver.url, "events": ["*"], "ordered": true, "ordering_key": "/user_id" });
    let (id, _) = desk.subscribe(&wish);
    let mut event = event(1);
    event.data = RawValue::from_string(r#"{"user_id":"a\u0000b","\u0000":1}"#.to_owned()).unwrap();
    desk.tell(&[event]).await;
    desk.delivery(&id, "success").await;
    let data = br#""data":{"user_id":"a\u0000b","\u0000":1}"#;
    let body = receiver.hits()[0].body.clone();
    assert!(body.windows(data.len()).any(|part| part == data), "{}", String::from_utf8_lossy(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_earlier_one_of_its_key_is_shown_as_blocked() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(500);
    let wish = json!({ "url": receiver.url, "events": ["*"], "ordered": true, "ordering_key": "/user_id" });
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&(0..3).map(event).collect::<Vec<Envelope>>()).await;
    desk.until("webhook_deliveries", 3).await;
    desk.execute(
        "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() + interval '1 day'",
    )
    .await;
    let (_, page) = desk.service.get(&format!("/webhooks/{id}/deliveries?status=pending"));
    let shown: Vec<(&Value, &Value)> =
        page["items"].as_array().unwrap().iter().map(|it| (&it["status"], &it["ordering_key"])).collect();
    let (blocked, pending, key) = (json!("blocked"), json!("pending"), json!("sklep-ząbek"));
    assert_eq!(shown, [(&blocked, &key), (&blocked, &key), (&pending, &key)]);
    eventually_within(Duration::from_mins(1), "the backlog among the metrics", async || {
        let metrics = desk.service.metrics();
        let has = |line: &str| metrics.lines().any(|it| it == line);
        let backlog = has("webhook_backlog_deliveries 3") && has("webhook_backlog_by_rank{rank=\"1\"} 3");
        (backlog && has("webhook_subscriptions{circuit=\"closed\"} 1")).then_some(())
    })
    .await;
}
