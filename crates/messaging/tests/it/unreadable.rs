//! Messages that lapin cannot read lose their properties, and affect no other message.

use std::sync::Arc;
use std::time::Duration;

use domain::events::Envelope;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use messaging::Broker;
use messaging::dead::Selection;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use testkit::Vhost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Bench, event};

/// [`not_utf_8`] replaces this by bytes that are not UTF-8.
const PLACEHOLDER: &str = "#bytes#";

/// The address of a proxy in front of the broker, which replaces [`PLACEHOLDER`] in the client's data.
async fn not_utf_8(vhost: &Vhost) -> SecretString {
    let url = vhost.url().expose_secret();
    let authority = url.parse::<AMQPUri>().unwrap().authority;
    let target = Arc::new(format!("{}:{}", authority.host, authority.port));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxied = url.replacen(target.as_str(), &listener.local_addr().unwrap().to_string(), 1);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_broker, to_broker) =
                TcpStream::connect(target.as_str()).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_broker, &mut to_client).await });
            tokio::spawn(async move { replace(&mut from_client, to_broker).await });
        }
    });
    proxied.into()
}

async fn replace(from: &mut OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (placeholder, mut sent) = (PLACEHOLDER.as_bytes(), Vec::new());
    while from.read_buf(&mut sent).await.is_ok_and(|length| length > 0) {
        // The rest of a placeholder may arrive later. A frame ends with another byte.
        if (1..placeholder.len()).any(|length| sent.ends_with(&placeholder[..length])) {
            continue;
        }
        while let Some(at) = sent.windows(placeholder.len()).position(|part| part == placeholder) {
            sent[at..at + placeholder.len()].fill(0xff);
        }
        to.write_all(&sent).await.unwrap();
        sent.clear();
    }
}

async fn poison(bench: &Bench, event: &Envelope) {
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', -1)", event.subject)).await;
}

/// Waits until this number of events is applied and this number is dead-lettered. Returns the reasons and the original
/// properties of the latter.
async fn outcome(bench: &Bench, applied: i64, dead: u32) -> Vec<(String, serde_json::Value)> {
    bench.until_within(Duration::from_mins(2), "notes", applied).await;
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == dead).await;
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    let found = bench.dead().find(&Selection::All, 100).await.unwrap();
    found.into_iter().map(|letter| (letter.reason.clone(), letter.to_json()["original"].clone())).collect()
}

fn poisoned(number: u128, original: serde_json::Value) -> (String, serde_json::Value) {
    (format!("{} is poison", event(number).subject), original)
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_too_deep_or_too_large_stop_nobody() {
    let bench = Bench::new().await;
    bench.consume().await;
    let nested = |open: &str, close: &str, depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    // Enough for lapin's stack. RabbitMQ's effort grows with the square of the depth: seconds at 20,000.
    let cases = [
        (nested("[", "]", 6000), "nested deeper than 32 levels"),
        (nested(r#"{"a":"#, "}", 6000), "nested deeper than 32 levels"),
        (format!("{:?}", "x".repeat(200_000)), "larger than a frame"),
    ];
    for (number, (header, _)) in (0..).zip(&cases) {
        poison(&bench, &event(100 + number)).await;
        for event in [event(number), event(100 + number)] {
            assert!(bench.vhost.publish_with(&event, &format!(r#"{{"foreign":{header}}}"#)));
        }
    }
    bench.publish(&[event(50)]).await;
    let expected =
        (100..).zip(cases).map(|(number, (_, reason))| poisoned(number, json!({ "unreadable": reason })));
    assert_eq!(outcome(&bench, 4, 3).await, expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_not_utf_8_stop_nobody() {
    let bench = Bench::new().await;
    bench.consume().await;
    let channel = Broker::new(&not_utf_8(&bench.vhost).await, "foreign").unwrap().channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let properties = BasicProperties::default();
    let mut headers = FieldTable::default();
    headers.insert(PLACEHOLDER.into(), AMQPValue::Boolean(true));
    let unreadable = json!({ "unreadable": "a text is not UTF-8" });
    let cases = [
        ("account.connected", properties.clone().with_reply_to(PLACEHOLDER.into()), &unreadable),
        ("account.connected", properties.clone().with_type(PLACEHOLDER.into()), &unreadable),
        ("account.connected", properties.clone().with_headers(headers), &unreadable),
        ("account.#bytes#", properties.with_priority(7), &json!({ "priority": 7 })),
    ];
    for (number, (key, properties, _)) in (0..).zip(&cases) {
        poison(&bench, &event(100 + number)).await;
        for event in [event(number), event(100 + number)] {
            let body = serde_json::to_vec(&event).unwrap();
            let (exchange, options) = ("zaplecze.events".into(), BasicPublishOptions::default());
            let key = (*key).into();
            let sent =
                channel.basic_publish(exchange, key, options, &body, properties.clone()).await.unwrap();
            assert!(sent.await.unwrap().is_ack());
        }
    }
    bench.publish(&[event(50)]).await;
    let expected = (100..).zip(cases).map(|(number, (_, _, original))| poisoned(number, original.clone()));
    assert_eq!(outcome(&bench, 5, 4).await, expected.collect::<Vec<_>>());
}
