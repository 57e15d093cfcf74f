//! Input with instants that cannot be stored is refused and stops no other work.

use serde_json::{Value, json};
use testkit::eventually;

use crate::bad_input::errors_of;
use crate::support::{Desk, Receiver, all_to, event};

/// Valid RFC 3339, and outside the years 1 to 9999 in UTC.
const OUTSIDE: [&str; 3] = ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "0000-06-01T00:00:00Z"];
/// The first and the last instant that can be stored.
const FIRST: &str = "0001-01-01T00:00:00Z";
const LAST: &str = "9999-12-31T23:59:59.999999Z";

fn event_body(at: &str) -> Value {
    json!({ "type": "custom.x", "data": {}, "timestamp": at })
}

#[tokio::test(flavor = "multi_thread")]
async fn unstorable_instants_are_refused() {
    let desk = Desk::open().await;
    let (id, _) = desk.subscribe(&json!({ "url": "http://127.0.0.1:9/", "events": ["order.created"] }));
    let refused = |pointer: &str| (400, vec![(pointer.to_owned(), "invalid_value".to_owned())]);
    let (recover, replay) = (format!("/webhooks/{id}/recover"), format!("/webhooks/{id}/replay"));
    for at in OUTSIDE {
        let encoded = at.replace('+', "%2B");
        for (path, name) in [("deliveries", "from"), ("deliveries", "to"), ("stats", "since")] {
            let path = format!("/webhooks/{id}/{path}?{name}={encoded}");
            assert_eq!(errors_of(desk.service.get(&path)), refused(name), "{path}");
        }
        for (path, body, pointer) in [
            ("/events", event_body(at), "/timestamp"),
            (&recover, json!({ "since": at }), "/since"),
            (&recover, json!({ "since": FIRST, "until": at }), "/until"),
            (&replay, json!({ "filter": { "from": at } }), "/filter/from"),
            (&replay, json!({ "filter": { "to": at } }), "/filter/to"),
        ] {
            assert_eq!(errors_of(desk.service.post(path, &body)), refused(pointer), "{path} {body}");
        }
    }
    for (path, status) in [
        (format!("/webhooks/{id}/deliveries?from={FIRST}&to={LAST}"), 200),
        (format!("/webhooks/{id}/deliveries?from={LAST}&to={FIRST}"), 400),
        (format!("/webhooks/{id}/stats?since={FIRST}"), 200),
        (format!("/webhooks/{id}/stats?since={LAST}"), 200),
    ] {
        assert_eq!(desk.service.get(&path).0, status, "{path}");
    }
    for (path, body) in [
        ("/events", event_body(FIRST)),
        ("/events", event_body(LAST)),
        (&recover, json!({ "since": FIRST, "until": LAST })),
        (&replay, json!({ "filter": { "from": FIRST, "to": LAST } })),
    ] {
        let (status, answer) = desk.service.post(path, &body);
        assert_eq!(status, 202, "{path} {body}: {answer}");
        if answer["task_id"].is_string() {
            assert_eq!(desk.ended(&answer).await["status"], "SUCCESS", "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_unstorable_time_is_dead_lettered() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    for at in OUTSIDE {
        let event = event(1);
        let mut body = serde_json::to_value(&event).unwrap();
        body["time"] = json!(at);
        desk.execute(&format!(
            "INSERT INTO outbox (id, type, subject, partition_key, body) \
             VALUES ('{}', 'account.connected', 's', 'p', '{body}')",
            event.id
        ))
        .await;
    }
    desk.tell(&[event(2)]).await;
    desk.delivery(&id, "success").await;
    let listed = eventually("the others to be dead-lettered", async || {
        let listed = desk.service.run(&["dead", "list"]);
        listed.contains(&format!("{0} shown of {0}", OUTSIDE.len())).then_some(listed)
    })
    .await;
    let reason = "must be in the years 0001 to 9999 in UTC";
    assert_eq!(listed.matches(reason).count(), OUTSIDE.len(), "{listed}");
    assert_eq!(receiver.hits().len(), 1);
}

/// The delivered time equals the stored one: truncated to microseconds, not rounded.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_carries_its_time_truncated_to_microseconds() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"] }));
    let (status, answer) = desk.service.post("/events", &event_body("1969-12-31T23:59:59.9999999+01:00"));
    assert_eq!(status, 202, "{answer}");
    let hit = &receiver.until_hits(1).await[0];
    assert_eq!(hit.content()["timestamp"], "1969-12-31T22:59:59.999999Z");
    desk.until("messages WHERE occurred_at = '1969-12-31T22:59:59.999999Z'", 1).await;
}
