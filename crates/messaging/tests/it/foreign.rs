//! Messages of another publisher: their properties neither act on our copies nor stop the consumer.

use domain::events::Envelope;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
use lapin::{BasicProperties, Channel};
use messaging::dead::Selection;
use messaging::{Broker, Consumer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, NOTES, Notes, event};

const EXCHANGE: &str = "zaplecze.events";

/// A channel of another user of the broker.
async fn foreign_channel(bench: &Bench) -> Channel {
    let url = bench.vhost.url_of_another(".*");
    let channel = Broker::new(&url, "stranger").unwrap().channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

/// Publishes and returns when the broker has confirmed it.
async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
    assert!(sent.await.unwrap().is_ack());
}

async fn publish_event(channel: &Channel, event: &Envelope, properties: BasicProperties) {
    let properties = properties.with_message_id(event.id.to_string().into());
    publish(channel, EXCHANGE, &event.kind, &serde_json::to_vec(event).unwrap(), properties).await;
}

async fn poison(bench: &Bench, event: &Envelope) {
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', -1)", event.subject)).await;
}

fn header(name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    BasicProperties::default().with_headers(headers)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text.as_bytes()))
}

fn copies_to(queue: &str) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(vec![text(queue)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_outlives_its_publishers_expiration() {
    let bench = Bench::new().await;
    bench.consume().await;
    let (channel, lasting) =
        (foreign_channel(&bench).await, BasicProperties::default().with_expiration("10000".into()));
    poison(&bench, &event(1)).await;
    publish_event(&channel, &event(1), lasting.clone()).await;
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;

    // A later message with the same expiration serves as the clock.
    let plain = QueueDeclareOptions::default();
    channel.queue_declare("clock".into(), plain, FieldTable::default()).await.unwrap();
    publish(&channel, "", "clock", b"", lasting).await;
    bench.until_queue("clock", |queue| queue.message_count() == 0).await;
    let found = bench.dead().find(&Selection::All, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_json()["original"]["expiration"], "10000");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_foreign_message_is_dead_lettered_once() {
    let bench = Bench::new().await;
    bench.consume().await;
    let channel = foreign_channel(&bench).await;
    let user = bench.vhost.other_user();
    let attempt = |value| header("x-zaplecze-attempt", value);
    let cases: Vec<(BasicProperties, Value)> = vec![
        (BasicProperties::default().with_user_id(user.as_str().into()), json!({ "user_id": user })),
        (header("CC", copies_to("notes.events")), json!({ "headers": { "CC": ["notes.events"] } })),
        (header("CC", copies_to("notes.events.dead")), json!({ "headers": { "CC": ["notes.events.dead"] } })),
        (
            header("big", text(&"x".repeat(130_000))),
            json!({ "headers": { "big": format!("{}…", "x".repeat(200)) } }),
        ),
        (header("x-zaplecze-original", text(&"x".repeat(130_000))), json!({})),
        (
            BasicProperties::default().with_type("t".repeat(255).into()).with_priority(255),
            json!({ "priority": 255 }),
        ),
        (attempt(text("many")), json!({})),
        (attempt(AMQPValue::LongLongInt(u32::MAX.into())), json!({})),
        (attempt(AMQPValue::LongLongInt(i64::MIN)), json!({})),
        (header("x-death", copies_to("notes.events")), json!({})),
        (header("x-zaplecze-reason", AMQPValue::Boolean(true)), json!({})),
    ];
    let events: Vec<Envelope> = (0..20).map(event).collect();
    for ((properties, _), event) in cases.iter().zip(&events) {
        poison(&bench, event).await;
        publish_event(&channel, event, properties.clone()).await;
    }
    for event in &events[cases.len()..] {
        publish_event(&channel, event, BasicProperties::default()).await;
    }
    bench.until("notes", 20 - i64::try_from(cases.len()).unwrap()).await;
    // Published last, after every copy of the earlier messages.
    let last = event(99);
    poison(&bench, &last).await;
    publish_event(&channel, &last, BasicProperties::default()).await;
    let expected = u32::try_from(cases.len() + 1).unwrap();
    bench.until_queue("notes.events.dead", |queue| queue.message_count() >= expected).await;

    let found = bench.dead().find(&Selection::All, 100).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|letter| letter.id.as_str()).collect();
    let published: Vec<String> =
        events[..cases.len()].iter().chain([&last]).map(|event| event.id.to_string()).collect();
    assert_eq!(ids, published);
    for (letter, ((_, original), event)) in found.iter().zip(cases.iter().zip(&events)) {
        assert_eq!(letter.to_json()["original"], *original);
        assert_eq!(letter.reason, format!("{} is poison", event.subject));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_that_fails_once_is_retried() {
    let bench = Bench::new().await;
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', 1)", event(1).subject)).await;
    bench.consume().await;
    let channel = foreign_channel(&bench).await;
    let mut headers = FieldTable::default();
    headers.insert("CC".into(), copies_to("notes.events"));
    headers.insert("big".into(), text(&"x".repeat(130_000)));
    let properties =
        BasicProperties::default().with_user_id(bench.vhost.other_user().into()).with_headers(headers);
    bench.begin_to_send().await;
    publish_event(&channel, &event(1), properties).await;
    bench.until_noted_after_a_wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_message_can_be_requeued() {
    let mut bench = Bench::new().await;
    bench.consume().await;
    bench.stop_consuming().await;
    let channel = foreign_channel(&bench).await;
    let properties = header("CC", copies_to("notes.events"))
        .with_expiration("1".into())
        .with_user_id(bench.vhost.other_user().into());
    publish_event(&channel, &event(1), properties).await;
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;
    let found = bench.dead().find(&Selection::All, 10).await.unwrap();
    assert!(found[0].reason.contains("expiration passed"), "{}", found[0].reason);
    assert_eq!(found[0].from, "notes.events");

    assert_eq!(bench.dead().requeue(&Selection::All, false).await.unwrap().count, 1);
    bench.consume().await;
    bench.until("notes", 1).await;
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    assert_eq!(bench.dead().count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_time_of_dead_lettering_stays_unknown() {
    let mut bench = Bench::new().await;
    bench.consume().await;
    bench.stop_consuming().await;
    let channel = foreign_channel(&bench).await;
    let body = serde_json::to_vec(&event(1)).unwrap();
    publish(&channel, "", "notes.events.dead", &body, BasicProperties::default()).await;
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;
    assert_eq!(bench.dead().requeue(&Selection::All, false).await.unwrap().count, 1);
    let got = channel.basic_get("notes.events".into(), BasicGetOptions::default()).await.unwrap();
    let properties = got.unwrap().delivery.properties;
    let headers = properties.headers().as_ref().unwrap().inner();
    assert!(headers.contains_key("x-zaplecze-reason"), "{headers:?}");
    assert!(!headers.contains_key("x-zaplecze-at"), "{headers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_copy_blocks_no_other_message() {
    let mut bench = Bench::new().await;
    bench.consume().await;
    bench.stop_consuming().await;
    // This user may bind queues but not publish to them: the broker refuses every copy.
    let url = bench.vhost.url_of_another(r"^(zaplecze|notes)\.events.*$");
    let (stop, consumer) = (CancellationToken::new(), Consumer { subscriber: NOTES, batch: 100 });
    let broker = Broker::new(&url, "restricted").unwrap();
    tokio::spawn(consumer.run(broker, bench.pool.clone(), Notes, stop.clone()));
    let _end = stop.drop_guard();
    let events: Vec<Envelope> = (0..50).map(event).collect();
    for event in [&events[0], &events[20], &events[49]] {
        poison(&bench, event).await;
    }
    bench.publish(&events).await;
    bench.until("notes", 47).await;
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 3).await;
    let found = bench.dead().find(&Selection::All, 10).await.unwrap();
    assert!(found.iter().all(|letter| letter.reason.contains("refused its copy")), "{found:?}");
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
}
