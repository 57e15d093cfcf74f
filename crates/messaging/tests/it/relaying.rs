//! The relay's guarantees.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::events::Envelope;
use domain::topology::Subscriber;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use testkit::eventually;

use crate::support::{Bench, NOTES, event};

/// Limit for thousands of events on a slow machine, and for retries after a lost connection.
const TIMEOUT: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_events_arrive_and_have_one_effect_each() {
    let bench = Bench::new().await;
    bench.consume().await;
    // Two replicas of the relay: one works, the other waits for its lock.
    bench.relay();
    bench.relay();
    for set in 0..10_u128 {
        let events: Vec<Envelope> = (0..500).map(|n| event(set * 500 + n)).collect();
        bench.push(&events).await;
    }
    bench.until_within(TIMEOUT, "notes", 5000).await;
    assert_eq!(bench.count("(SELECT DISTINCT subject FROM notes) AS n").await, 5000);
    bench.until("outbox", 0).await;
    assert_eq!(bench.count("inbox").await, 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_event_is_never_published() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.relay();
    let rolled_back: Result<(), pg::Error> = bench
        .pool
        .transaction(async |conn| {
            messaging::outbox::push(conn, &[event(1)]).await?;
            sql_query("SELECT 1/0").execute(conn).await?;
            Ok(())
        })
        .await;
    assert!(rolled_back.is_err());
    bench.push(&[event(2)]).await;
    bench.until("notes", 1).await;
    assert_eq!(bench.count(&format!("notes WHERE subject = '{}'", event(2).subject)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_seq_that_commits_late_is_published_too() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.relay();
    let mut late = bench.pool.get().await.unwrap();
    sql_query("BEGIN").execute(&mut *late).await.unwrap();
    messaging::outbox::push(&mut late, &[event(1)]).await.unwrap();
    // A later row is inserted, published and deleted before this transaction commits.
    bench.push(&[event(2)]).await;
    bench.until("notes", 1).await;
    sql_query("COMMIT").execute(&mut *late).await.unwrap();
    bench.until("notes", 2).await;
    bench.until("outbox", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_subscriber_that_never_ran() {
    const BROKEN: Subscriber = Subscriber { service: "broken", bindings: &["#"], is_in_order: false };
    let bench = Bench::new().await;
    let channel = bench.broker().channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("broken.events.dead".into(), options, FieldTable::default()).await.unwrap();
    bench.relay_to(&[BROKEN, NOTES]);
    bench.push(&(0..50).map(event).collect::<Vec<Envelope>>()).await;
    bench.until("outbox", 0).await;
    assert_eq!(bench.count("notes").await, 0);
    bench.consume().await;
    bench.until("notes", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_event_waits_and_delays_no_other() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.relay();
    let mut unbound = event(1);
    unbound.kind = "stock.low".to_owned();
    let mut events = vec![unbound];
    events.extend((2..50).map(event));
    bench.push(&events).await;
    bench.until("notes", 48).await;
    bench.until("outbox WHERE type = 'stock.low' AND attempts > 0", 1).await;
    assert_eq!(bench.count("outbox").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_ended_by_the_broker_lose_nothing() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.relay();
    let mut ended = 0;
    for set in 0..20_u128 {
        let events: Vec<Envelope> = (0..250).map(|n| event(set * 250 + n)).collect();
        bench.push(&events).await;
        if set % 5 == 2 {
            ended += eventually("a connection to end", async || {
                let ended = bench.vhost.end_connections();
                (ended > 0).then_some(ended)
            })
            .await;
        }
    }
    assert!(ended >= 4, "only {ended} connections were ended");
    bench.until_within(TIMEOUT, "notes", 5000).await;
    assert_eq!(bench.count("(SELECT DISTINCT event_id FROM notes) AS n").await, 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_waits_and_delays_no_other() {
    let bench = Bench::new().await;
    bench.consume().await;
    bench.push(&(0..10).map(event).collect::<Vec<Envelope>>()).await;
    for (seq, headers) in [(3, "[]"), (4, "{\"traceparent\": 7}")] {
        bench.run(&format!("UPDATE outbox SET headers = '{headers}' WHERE seq = {seq}")).await;
    }
    bench.relay();
    bench.until("notes", 8).await;
    bench.until("outbox WHERE attempts > 0", 2).await;
    assert_eq!(pg::take_corrupt_rows().len(), 2);
    bench.run("UPDATE outbox SET headers = '{}', next_attempt_at = now()").await;
    bench.until("notes", 10).await;
}
