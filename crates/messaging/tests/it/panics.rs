//! A handler that panics.

use domain::events::Envelope;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use messaging::{Failure, Handler};
use testkit::eventually;

use crate::support::{Bench, NOTES, Notes, event};

const POISON: u128 = 37;
/// The committed callback of this event panics.
const LATE_POISON: u128 = 38;

/// Records events, and panics at two of them.
struct Fragile;

impl Handler for Fragile {
    const NAME: &'static str = "notes";
    type Effect = bool;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<bool, Failure> {
        Notes.handle(conn, events).await?;
        let has = |number| events.iter().any(|it| it.subject == event(number).subject);
        assert!(!has(POISON), "no room for {POISON}");
        Ok(has(LATE_POISON))
    }

    async fn committed(&self, is_late_poison: bool) {
        assert!(!is_late_poison, "too late for {LATE_POISON}");
    }
}

async fn publish(channel: &lapin::Channel, event: &Envelope, failed_before: i32) {
    let mut headers = FieldTable::default();
    headers.insert("x-zaplecze-attempt".into(), AMQPValue::LongInt(failed_before));
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(event.id.to_string().into())
        .with_headers(headers);
    let (body, options) = (serde_json::to_vec(event).unwrap(), BasicPublishOptions::default());
    let sent = channel.basic_publish(
        "zaplecze.events".into(),
        "account.connected".into(),
        options,
        &body,
        properties,
    );
    sent.await.unwrap();
}

/// Takes a message from a queue and returns its recorded reason.
async fn reason(channel: &lapin::Channel, queue: &str) -> String {
    let message = eventually(&format!("a message in {queue}"), async || {
        channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    })
    .await;
    let headers = message.properties.headers().clone().unwrap();
    let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-zaplecze-reason").cloned() else {
        panic!("no reason in {headers:?}");
    };
    reason.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_of_the_one_message() {
    let bench = Bench::new().await;
    bench.begin_to_handle(NOTES, Fragile);
    bench.until_queue("notes.events", |queue| queue.consumer_count() == 1).await;
    let channel = bench.broker().channel().await.unwrap();
    // One message is at its last attempt; the other waits longest for its next attempt.
    publish(&channel, &event(POISON), 5).await;
    publish(&channel, &event(POISON), 2).await;
    for number in (0..100).filter(|number| *number != POISON) {
        publish(&channel, &event(number), 0).await;
    }
    bench.until("notes", 99).await;
    for queue in ["notes.events.dead", "notes.events.retry.10m"] {
        assert_eq!(reason(&channel, queue).await, "the handler panicked: no room for 37", "{queue}");
    }
    bench
        .until_queue("notes.events", |queue| (queue.message_count(), queue.consumer_count()) == (0, 1))
        .await;
    assert_eq!(bench.count(&format!("notes WHERE subject = '{}'", event(LATE_POISON).subject)).await, 1);
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    bench.until(open, 0).await;
}
