//! The consumer's guarantees.

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::events::Envelope;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use messaging::dead::Selection;
use messaging::{Failure, Handler};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, NOTES, Notes, event};

async fn publish(channel: &lapin::Channel, body: &[u8]) {
    let sent = channel
        .basic_publish(
            "zaplecze.events".into(),
            "account.connected".into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default().with_delivery_mode(2),
        )
        .await;
    sent.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_event_has_no_second_effect() {
    let bench = Bench::new().await;
    bench.consume().await;
    let broker = bench.broker();
    let channel = broker.channel().await.unwrap();
    let again = serde_json::to_vec(&event(1)).unwrap();
    for n in 0..300 {
        publish(&channel, &again).await;
        publish(&channel, &serde_json::to_vec(&event(10 + n)).unwrap()).await;
    }
    bench.until("notes", 301).await;
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    assert_eq!(bench.count(&format!("notes WHERE subject = '{}'", event(1).subject)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_fails_alone() {
    let bench = Bench::new().await;
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', -1)", event(37).subject)).await;
    bench.consume().await;
    let events: Vec<Envelope> = (0..100).map(event).collect();
    let broker = bench.broker();
    let channel = broker.channel().await.unwrap();
    publish(&channel, b"{ not an event").await;
    for event in &events {
        publish(&channel, &serde_json::to_vec(event).unwrap()).await;
    }
    bench.until("notes", 99).await;
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let set_aside = eventually("a message set aside", async || {
            channel.basic_get("notes.events.dead".into(), BasicGetOptions { no_ack: true }).await.unwrap()
        })
        .await;
        let headers = set_aside.properties.headers().clone().unwrap();
        let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-zaplecze-reason").cloned() else {
            panic!("no reason in {headers:?}");
        };
        reasons.push(reason.to_string());
    }
    reasons.sort();
    let [poison, malformed] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert_eq!(*poison, format!("{} is poison", event(37).subject));
    assert!(malformed.starts_with("not a well-formed event"), "{malformed}");
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applied_events_are_acknowledged_beside_a_stuck_one() {
    let bench = Bench::new().await;
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', 1000000)", event(50).subject)).await;
    bench.consume().await;
    let channel = bench.broker().channel().await.unwrap();
    // The failing event has no retry queue, and the next session cannot begin.
    for queue in ["notes.events.retry.5s", "notes.events.retry.10m"] {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("notes.events.retry.10m".into(), options, FieldTable::default()).await.unwrap();
    // Nothing is applied until all have arrived, so that the last one is in a batch with others.
    let mut conn = bench.pool.get().await.unwrap();
    sql_query("BEGIN").execute(&mut *conn).await.unwrap();
    sql_query("LOCK TABLE notes").execute(&mut *conn).await.unwrap();
    bench.publish(&(0..=50).map(event).collect::<Vec<Envelope>>()).await;
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    sql_query("COMMIT").execute(&mut *conn).await.unwrap();

    bench
        .until_queue("notes.events", |queue| (queue.message_count(), queue.consumer_count()) == (1, 0))
        .await;
    assert_eq!(bench.count("notes").await, 50);
    bench.run("DELETE FROM troubles").await;
    channel.queue_delete("notes.events.retry.10m".into(), QueueDeleteOptions::default()).await.unwrap();
    bench.until("notes", 51).await;
    assert_eq!(bench.count("(SELECT DISTINCT event_id FROM notes) AS n").await, 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_once_is_redelivered_later() {
    let bench = Bench::new().await;
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', 1)", event(1).subject)).await;
    bench.consume().await;
    let broker = bench.broker();
    let channel = broker.channel().await.unwrap();
    bench.begin_to_send().await;
    publish(&channel, &serde_json::to_vec(&event(1)).unwrap()).await;
    bench.until_noted_after_a_wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_apply_the_same_events_once_in_any_order() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.begin_to_consume(NOTES);
    bench.until_queue("notes.events", |queue| queue.consumer_count() == 2).await;
    let mut events: Vec<Envelope> = (0..500).map(event).collect();
    bench.publish(&events).await;
    events.reverse();
    bench.publish(&events).await;
    bench.until("notes", 500).await;
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    assert_eq!(bench.count("(SELECT DISTINCT event_id FROM notes) AS n").await, 500);
    for queue in ["retry.5s", "dead"] {
        bench.until_queue(&format!("notes.events.{queue}"), |queue| queue.message_count() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_rows_are_deleted_after_two_weeks() {
    let bench = Bench::new().await;
    for (rows, age) in [(12_000, "15 days"), (10, "13 days")] {
        bench
            .run(&format!(
                "INSERT INTO inbox SELECT 'notes', gen_random_uuid(), now() - interval '{age}' \
                 FROM generate_series(1, {rows})"
            ))
            .await;
    }
    assert_eq!(messaging::RETAIN_EVENTS.once(&bench.pool, &CancellationToken::new()).await.unwrap(), 12_000);
    assert_eq!(bench.count("inbox").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn unstorable_events_are_dead_lettered_at_once() {
    let bench = Bench::new().await;
    bench.consume().await;
    let channel = bench.broker().channel().await.unwrap();
    let with = |change: fn(&mut Envelope)| {
        let mut event = event(1);
        change(&mut event);
        event
    };
    // The last event satisfies the envelope's rules and is rejected by the database.
    let cases = [
        (
            with(|it| it.subject = "a\0b".to_owned()),
            "the event's subject must not contain the character U+0000",
        ),
        (
            with(|it| it.kind = "account.\0".to_owned()),
            "the event's type must not contain the character U+0000",
        ),
        (
            with(|it| it.partitionkey = "\0".to_owned()),
            "the event's partitionkey must not contain the character U+0000",
        ),
        (with(|it| it.source = String::new()), "the event's source must not be empty"),
        (with(|it| it.subject = "s".repeat(1025)), "the event's subject must be at most 1024 bytes long"),
        (
            with(|it| it.correlationid = Some("\0".to_owned())),
            "the event's correlationid must not contain the character U+0000",
        ),
        (with(|it| it.subject = "unstorable".to_owned()), "check constraint notes_subject violated"),
    ];
    bench.run("ALTER TABLE notes ADD CONSTRAINT notes_subject CHECK (subject <> 'unstorable')").await;
    for (event, _) in &cases {
        publish(&channel, &serde_json::to_vec(event).unwrap()).await;
    }
    let expected = u32::try_from(cases.len()).unwrap();
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == expected).await;
    let found = bench.dead().find(&Selection::All, 100).await.unwrap();
    let mut reasons: Vec<&str> = found.iter().map(|letter| letter.reason.as_str()).collect();
    let mut wanted: Vec<&str> = cases.iter().map(|(_, reason)| *reason).collect();
    reasons.sort_unstable();
    wanted.sort_unstable();
    for (reason, wanted) in reasons.iter().zip(wanted) {
        assert!(reason.starts_with(wanted), "{reason}");
    }
}

/// Collides with other transactions whenever a batch contains one event, and fails for no other reason.
struct Contended;

impl Handler for Contended {
    const NAME: &'static str = "notes";
    type Effect = usize;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<usize, Failure> {
        if events.iter().any(|it| it.subject == event(37).subject) {
            return Err(pg::Error::contended().into());
        }
        Notes.handle(conn, events).await
    }

    async fn committed(&self, _events: usize) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colliding_batch_is_bisected_to_the_event_at_fault() {
    let bench = Bench::new().await;
    let channel = bench.broker().channel().await.unwrap();
    bench.begin_to_handle(NOTES, Contended);
    bench.until_queue("notes.events", |queue| queue.consumer_count() == 1).await;
    bench.publish(&(0..100).map(event).collect::<Vec<Envelope>>()).await;
    bench.until("notes", 99).await;
    let waiting = eventually("the event to be retried alone", async || {
        channel.basic_get("notes.events.retry.5s".into(), BasicGetOptions { no_ack: true }).await.unwrap()
    })
    .await;
    let retried = Envelope::parse(&waiting.data).unwrap();
    assert_eq!(retried.subject, event(37).subject);
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
}
