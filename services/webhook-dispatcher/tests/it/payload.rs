//! A producer's data arrive byte for byte, even when filters cannot read them.

use domain::events::Envelope;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::{Desk, Hit, Receiver, event};

const TIME: &str = "2026-11-21T08:00:00Z";

/// Valid JSON that a parser into doubles, sorted maps and Unicode text changes.
const DATA: [&str; 7] = [
    "{\"n\":12345678901234567890123,\"price\":1.10,\"zero\":-0.0,\"big\":1E5,\"small\":1e-999999999}",
    "{\"z\":1,\"a\":2,\"m\":{\"y\":3,\"b\":4}}",
    "{\"twice\":1,\"twice\":2,\"twice\":1}",
    "{ \"spaced\" :\t[ 1 ,2 ]\r\n}",
    "{\"escaped\":\"\\u00f3\\/\\u0041\",\"raw\":\"ó/A 🦀\"}",
    "{}",
    "{\"id\":9007199254740993}",
];

/// Valid JSON that filters cannot read, with a part of the reason.
fn unreadable() -> [(String, &'static str); 3] {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    [
        (format!("{{\"status\":\"READY\",\"deep\":{deep}}}"), "nested"),
        ("{\"status\":\"READY\",\"name\":\"\\ud800\",\"\\udc00\":1}".to_owned(), "surrogate"),
        ("{\"status\":\"READY\",\"far\":1e400}".to_owned(), "beyond the range of a double"),
    ]
}

/// `POST /events` with exactly these bytes of data.
fn publish(desk: &Desk, data: &str) -> (u16, Value) {
    let bearer = format!("Bearer {}", desk.service.token);
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let body = format!(r#"{{"type":"custom.sent","timestamp":"{TIME}","data": {data} }}"#);
    let answer = desk.service.request("POST", "/api/v1/events", &headers, body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

/// An event of our own services with these bytes of data.
fn envelope(data: &str) -> Envelope {
    Envelope { data: RawValue::from_string(data.to_owned()).unwrap(), ..event(1) }
}

/// The bytes of the data in a body of this style.
fn data_of(hit: &Hit, style: &str) -> String {
    let body = String::from_utf8(hit.body.clone()).unwrap();
    let begin = "\"data\":";
    let end = if style == "standard" { "}" } else { ",\"timestamp\":" };
    let from = body.find(begin).unwrap() + begin.len();
    body[from..body.rfind(end).unwrap()].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn data_arrive_and_are_signed_byte_for_byte() {
    let desk = Desk::open().await;
    let receivers = ["standard", "legacy"].map(|style| {
        let receiver = Receiver::answering(200);
        let wish = json!({ "url": receiver.url, "events": ["custom.*", "account.*"], "payload_style": style,
            "ordered": true });
        let (_, secret) = desk.subscribe(&wish);
        (style, receiver, secret)
    });
    let unreadable = unreadable();
    let sent: Vec<&str> = DATA.into_iter().chain(unreadable.iter().map(|(data, _)| data.as_str())).collect();
    for data in &sent {
        let (status, answer) = publish(&desk, data);
        assert_eq!((status, &answer["deliveries"]), (202, &json!(2)), "{data:.60}: {answer}");
    }
    desk.tell(&sent.iter().map(|data| envelope(data)).collect::<Vec<_>>()).await;
    for (style, receiver, secret) in &receivers {
        let hits = receiver.until_hits(2 * sent.len()).await;
        let webhook = Webhook::new(secret).unwrap();
        let mut arrived: Vec<String> = Vec::new();
        for hit in &hits {
            webhook.verify(&hit.body, &hit.headers).unwrap();
            arrived.push(data_of(hit, style));
        }
        let mut expected: Vec<&str> = [&sent[..], &sent[..]].concat();
        expected.sort_unstable();
        arrived.sort_unstable();
        assert_eq!(arrived, expected, "{style}");
    }
    let begins = format!(r#"{{"type":"custom.sent","timestamp":"{TIME}","data":"#);
    assert!(receivers[0].1.hits().iter().any(|hit| hit.body.starts_with(begins.as_bytes())));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_data_are_skipped_for_filters_only() {
    let desk = Desk::open().await;
    let (some, all) = (Receiver::answering(200), Receiver::answering(200));
    let wish = |receiver: &Receiver, filter: Value| json!({ "url": receiver.url, "events": ["custom.*", "account.*"], "filter": filter });
    let (filtering, _) = desk.subscribe(&wish(&some, json!({ "path": "/status", "eq": "READY" })));
    desk.subscribe(&wish(&all, Value::Null));
    let unreadable = unreadable();
    for (number, (data, reason)) in unreadable.iter().enumerate() {
        let (status, answer) = publish(&desk, data);
        assert_eq!(
            (status, &answer["deliveries"], &answer["skipped"], &answer["filtered"]),
            (202, &json!(1), &json!(1), &json!(0)),
            "{answer}"
        );
        desk.tell(&[envelope(data)]).await;
        desk.until("webhook_deliveries WHERE status = 'skipped'", 2 * i64::try_from(number + 1).unwrap())
            .await;
        let (_, page) = desk.service.get(&format!("/webhooks/{filtering}/deliveries?status=skipped&limit=2"));
        for delivery in page["items"].as_array().unwrap() {
            let message = delivery["error_message"].as_str().unwrap();
            assert!(message.starts_with("the filter cannot read the event's data"), "{message}");
            assert!(message.contains(reason), "{message}");
        }
    }
    assert_eq!(all.until_hits(6).await.len(), 6);
    // The filter still decides on data that it can read.
    publish(&desk, "{\"status\":\"READY\"}");
    publish(&desk, "{\"status\":\"NEW\"}");
    assert_eq!(data_of(&some.until_hits(1).await[0], "standard"), "{\"status\":\"READY\"}");
    all.until_hits(8).await;
    assert_eq!(some.hits().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_numbers_keep_every_digit() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let bearer = format!("Bearer {}", desk.service.token);
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let filter = r#"{"path":"/id","in":[9007199254740993, 12345678901234567890123.10]}"#;
    let wish = format!(r#"{{"url":"{}","events":["custom.*"],"filter":{filter}}}"#, receiver.url);
    let made = desk.service.request("POST", "/api/v1/webhooks", &headers, wish.as_bytes()).unwrap();
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // A change of something else leaves it as it is.
    let (status, changed) = desk.service.patch(&format!("/webhooks/{id}"), &json!({ "name": "kept" }));
    assert_eq!(status, 200, "{changed}");
    let kept = format!("webhook_subscriptions WHERE filter::text = '{filter}'");
    assert_eq!(desk.count(&kept).await, 1);

    for id in ["9007199254740992", "9007199254740993", "12345678901234567890123.1", "12345678901234567890123"]
    {
        let (status, answer) = publish(&desk, &format!("{{\"id\":{id}}}"));
        assert_eq!(status, 202, "{answer}");
    }
    receiver.until_hits(2).await;
    let (_, counted) = desk.service.get(&format!("/webhooks/{id}/stats"));
    assert_eq!(counted["ever"]["filtered"], 2, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_are_refused_by_field_and_rule() {
    let desk = Desk::open().await;
    let bearer = format!("Bearer {}", desk.service.token);
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let deep = "[".repeat(200) + &"]".repeat(200);
    for (body, code, pointer, rule) in [
        (r#"{"type":"custom.x","data":7}"#.to_owned(), "invalid_content", "/data", "wrong_type"),
        (r#"{"type":"custom.x","data":null}"#.to_owned(), "invalid_content", "/data", "wrong_type"),
        (r#"{"type":"custom.x"}"#.to_owned(), "invalid_content", "/data", "missing"),
        (r#"{"type":"custom.x","data":{},"data":{}}"#.to_owned(), "invalid_content", "/data", "duplicate"),
        (r#"{"type":"custom.x","data":{},"dat":{}}"#.to_owned(), "invalid_content", "/dat", "unknown_field"),
        (
            r#"{"type":"custom.x","data":{"a":"\u0000"}}"#.to_owned(),
            "invalid_content",
            "/data/a",
            "nul_character",
        ),
        // A NUL is found even in data that cannot be read into a tree.
        (
            format!(r#"{{"type":"custom.x","subject":"a\u0000b","data":{{"deep":{deep}}}}}"#),
            "invalid_content",
            "",
            "nul_character",
        ),
        (r#"{"type":"custom.x","data":{"a":01}}"#.to_owned(), "malformed_json", "", ""),
        (r#"{"type":"custom.x","data":{"a":1}"#.to_owned(), "malformed_json", "", ""),
    ] {
        let answer = desk.service.request("POST", "/api/v1/events", &headers, body.as_bytes()).unwrap();
        let (status, problem) = (answer.status, answer.json());
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{body:.80}: {problem}");
        let error = &problem["errors"][0];
        if !rule.is_empty() {
            assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(rule)), "{body:.80}");
        }
    }
    assert_eq!(desk.count("messages").await, 0);
}
