//! Failing events: they are redelivered, dead-lettered, listed, requeued and dropped.

use std::time::Duration;

use domain::events::Envelope;
use domain::topology::WEBHOOK_DISPATCHER;
use lapin::BasicProperties;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use messaging::dead::{Requeued, Selection};
use testkit::{eventually, eventually_within};
use time::OffsetDateTime;

use crate::support::{Bench, NOTES, event};

/// A consumer that has dead-lettered `events`, in their order.
async fn with_dead(events: &[Envelope]) -> Bench {
    let bench = Bench::new().await;
    bench.consume().await;
    for (count, event) in (1..).zip(events) {
        bench.run(&format!("INSERT INTO troubles VALUES ('{}', -1)", event.subject)).await;
        bench.publish(std::slice::from_ref(event)).await;
        bench.until_queue("notes.events.dead", |queue| queue.message_count() == count).await;
    }
    bench
}

async fn ids(bench: &Bench) -> Vec<String> {
    let found = bench.dead().find(&Selection::All, 100).await.unwrap();
    found.into_iter().map(|letter| letter.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn list_changes_nothing_and_drop_and_requeue_only_the_chosen() {
    let mut events: Vec<Envelope> = (1..=5).map(event).collect();
    events[3].kind = "account.reauthorization_needed".to_owned();
    let bench = with_dead(&events).await;
    let all: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    // More often than RabbitMQ 4 redelivers a message by default.
    for _ in 0..25 {
        assert_eq!(ids(&bench).await, all);
    }
    let dead = bench.dead();
    let [first, second] = &dead.find(&Selection::All, 2).await.unwrap()[..] else { panic!("two of five") };
    assert_eq!((&first.id, &second.id), (&all[0], &all[1]));
    assert_eq!(first.reason, format!("{} is poison", events[0].subject));
    assert_eq!(first.subject.as_deref(), Some(events[0].subject.as_str()));
    assert_eq!((first.from.as_str(), first.attempts, first.requeued), ("notes.events", 1, 0));
    assert!((time::OffsetDateTime::now_utc() - first.dead_lettered_at.unwrap()).whole_minutes() < 5);
    assert_eq!(first.to_json()["body"]["id"], all[0]);

    let other = Selection::OfType("account.reauthorization_needed".to_owned());
    assert_eq!(dead.find(&other, 100).await.unwrap().len(), 1);
    assert_eq!(dead.discard(&other).await.unwrap(), 1);
    assert_eq!(dead.discard(&Selection::One(all[3].clone())).await.unwrap(), 0);

    bench.run("DELETE FROM troubles").await;
    assert_eq!(dead.requeue(&Selection::One(all[1].clone()), false).await.unwrap().count, 1);
    bench.until(&format!("notes WHERE subject = '{}'", events[1].subject), 1).await;
    assert_eq!(ids(&bench).await, [&*all[0], &*all[2], &*all[4]]);
    assert_eq!(dead.requeue(&Selection::All, false).await.unwrap().count, 3);
    bench.until("notes", 4).await;
    assert_eq!(dead.count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requeued_message_that_fails_is_dead_lettered_once() {
    let events: Vec<Envelope> = (1..=3).map(event).collect();
    let bench = with_dead(&events).await;
    let dead = bench.dead();
    for times in 1..=3 {
        // The consumer dead-letters them again while the command still runs: the command must not visit them twice.
        assert_eq!(dead.requeue(&Selection::All, false).await.unwrap().count, 3);
        bench.until_queue("notes.events.dead", |queue| queue.message_count() == 3).await;
        let found = dead.find(&Selection::All, 10).await.unwrap();
        assert!(found.iter().all(|letter| (letter.attempts, letter.requeued) == (1, times)), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requeue_skips_events_older_than_the_inbox_retention() {
    let mut events: Vec<Envelope> = (1..=2).map(event).collect();
    events[0].time = OffsetDateTime::now_utc() - Duration::from_hours(13 * 24 + 1);
    let bench = with_dead(&events).await;
    bench.run("DELETE FROM troubles").await;
    let old = Selection::One(events[0].id.to_string());
    let dead = bench.dead();
    assert_eq!(dead.requeue(&old, false).await.unwrap(), Requeued { count: 0, left: 1 });
    assert_eq!(dead.requeue(&Selection::All, false).await.unwrap(), Requeued { count: 1, left: 1 });
    bench.until("notes", 1).await;
    assert_eq!(ids(&bench).await, [events[0].id.to_string()]);
    assert_eq!(dead.requeue(&old, true).await.unwrap(), Requeued { count: 1, left: 0 });
    bench.until("notes", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_out_of_attempts_is_dead_lettered() {
    let bench = Bench::new().await;
    let stubborn = event(1);
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', 1000000)", stubborn.subject)).await;
    bench.consume().await;
    bench.publish(std::slice::from_ref(&stubborn)).await;
    let channel = bench.broker().channel().await.unwrap();
    let waits = ["5s", "1m", "10m", "10m", "10m"];
    let mut step = 0;
    while step < waits.len() {
        // The broker may end the first delay before the test does: then the event has failed again and waits longer.
        let places = &waits[step..=step.max(1)];
        let (place, waiting) = eventually(waits[step], async || {
            for (place, delay) in places.iter().enumerate() {
                let queue = format!("notes.events.retry.{delay}");
                let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
                if let Some(waiting) = got {
                    return Some((place, waiting));
                }
            }
            None
        })
        .await;
        step += place + 1;
        // The test acts as the clock: it ends the delay as the broker does, with the message unchanged.
        let (properties, body) = (waiting.properties.clone(), waiting.data.clone());
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), "notes.events".into(), options, &body, properties).await.unwrap();
        waiting.ack(BasicAckOptions::default()).await.unwrap();
    }
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;
    let found = bench.dead().find(&Selection::All, 10).await.unwrap();
    assert_eq!((found[0].attempts, found[0].reason.as_str()), (6, "not yet"));
    assert_eq!(bench.count("notes").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_queues_delay_as_their_names_say() {
    let bench = Bench::new().await;
    bench.consume().await;
    for (delay, milliseconds) in [("5s", 5_000), ("1m", 60_000), ("10m", 600_000)] {
        let queue = bench.vhost.queue(&format!("notes.events.retry.{delay}"));
        let arguments = &queue["arguments"];
        assert_eq!(arguments["x-message-ttl"], milliseconds);
        assert_eq!(arguments["x-dead-letter-routing-key"], "notes.events");
        assert_eq!(arguments["x-dead-letter-strategy"], "at-least-once");
        assert_eq!(arguments["x-overflow"], "reject-publish");
    }
    for queue in ["", ".dead", ".retry.5s", ".retry.1m", ".retry.10m"] {
        let queue = bench.vhost.queue(&format!("notes.events{queue}"));
        assert_eq!(queue["arguments"]["x-queue-type"], "quorum");
        assert!(queue["arguments"]["x-delivery-limit"].is_u64(), "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_its_consumer_is_dead_lettered() {
    let mut bench = Bench::new().await;
    bench.consume().await;
    bench.stop_consuming().await;
    bench.publish(&[event(1)]).await;
    let channel = bench.broker().channel().await.unwrap();
    let mut deaths = 0;
    while let Some(message) =
        channel.basic_get("notes.events".into(), BasicGetOptions::default()).await.unwrap()
    {
        message.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
        deaths += 1;
        assert!(deaths < 1000, "never set aside");
    }
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;
    let found = bench.dead().find(&Selection::All, 10).await.unwrap();
    assert!(found[0].reason.contains("delivery_limit"), "{:?}", found[0]);
    assert_eq!(found[0].from, "notes.events");
    bench.run(&format!("INSERT INTO troubles VALUES ('{}', 1)", event(1).subject)).await;
    bench.consume().await;
    // It fails once and waits: RabbitMQ must not detect a cycle and drop it.
    bench.begin_to_send().await;
    assert_eq!(bench.dead().requeue(&Selection::All, false).await.unwrap().count, 1);
    bench.until_noted_after_a_wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_lost_while_copies_are_published_lose_none() {
    let bench = Bench::new().await;
    let events: Vec<Envelope> = (0..300).map(event).collect();
    bench.consume().await;
    for wave in events.chunks(100) {
        for event in wave {
            bench.run(&format!("INSERT INTO troubles VALUES ('{}', {})", event.subject, i32::MAX)).await;
        }
        bench.publish(wave).await;
        bench.until_queue("notes.events.retry.5s", |queue| queue.message_count() > 0).await;
        eventually("a connection to end", async || (bench.vhost.end_connections() > 0).then_some(())).await;
        // The failures of a wave end with it: on a slow machine some events fail twice and wait for a minute, but not
        // for ten.
        bench.run("DELETE FROM troubles").await;
    }
    eventually_within(Duration::from_mins(2), "all events to be noted", async || {
        (bench.count("notes").await == 300).then_some(())
    })
    .await;
    assert_eq!(bench.count("(SELECT DISTINCT event_id FROM notes) AS n").await, 300);
    bench.until_queue("notes.events", |queue| queue.message_count() == 0).await;
    assert_eq!(bench.dead().count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_waited_for() {
    let bench = Bench::new().await;
    let channel = bench.broker().channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("notes.events.retry.10m".into(), options, FieldTable::default()).await.unwrap();
    bench.begin_to_consume(NOTES);
    // The previous queue was declared, so that this one was tried.
    bench.until_queue("notes.events.retry.1m", |_is_there| true).await;
    channel.queue_delete("notes.events.retry.10m".into(), QueueDeleteOptions::default()).await.unwrap();
    bench.until_queue("notes.events", |queue| queue.consumer_count() > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_loaded_before_are_what_the_consumer_declares() {
    let bench = Bench::new().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rabbitmq/definitions.json");
    bench.vhost.import(&serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
    bench.consume_as(WEBHOOK_DISPATCHER).await;
    bench.publish(&[event(1)]).await;
    bench.until("notes", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_an_id_is_dropped_by_its_listed_id() {
    let bench = Bench::new().await;
    bench.consume().await;
    let channel = bench.broker().channel().await.unwrap();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let body = b"{ not an event";
    channel
        .basic_publish("zaplecze.events".into(), "account.x".into(), options, body, properties)
        .await
        .unwrap();
    bench.until_queue("notes.events.dead", |queue| queue.message_count() == 1).await;
    let dead = bench.dead();
    let found = dead.find(&Selection::All, 10).await.unwrap();
    assert_eq!(found[0].to_json()["body"], "{ not an event");
    assert_eq!(dead.discard(&Selection::One(found[0].id.clone())).await.unwrap(), 1);
    assert_eq!(dead.count().await.unwrap(), 0);
}
