//! The network before Postgres and RabbitMQ is cut and stalls under load: `/readyz` says which, it heals by itself, and
//! nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::{Proxy, eventually_within, tell};

use crate::support::{Desk, Receiver, all_to, event};

/// Waiting for a free connection may take 10 s, and pauses between tries as long.
const HEALED: Duration = Duration::from_mins(1);
const EVENTS: i64 = 600;

async fn weather(name: &str, worsen: impl Fn(&Proxy)) {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    desk.subscribe(&all_to(&receiver));
    let proxy = if name == "postgres" { &desk.postgres } else { &desk.rabbitmq };
    let events: Vec<_> = (0..EVENTS.unsigned_abs().into()).map(event).collect();
    let (before, after) = events.split_at(events.len() / 2);
    desk.tell(before).await;
    receiver.until_hits(10).await;

    worsen(proxy);
    desk.tell(after).await;
    eventually_within(HEALED, &format!("/readyz to name {name}"), async || {
        let answer = desk.service.request("GET", "/readyz", &[], &[]).ok()?;
        (answer.status == 503 && answer.json()["reasons"].to_string().contains(name)).then_some(())
    })
    .await;
    proxy.pass();
    // What was held back may belong to nobody any more.
    proxy.cut();
    eventually_within(HEALED, "every event to be delivered", async || {
        (desk.count("webhook_deliveries WHERE status = 'success'").await == EVENTS).then_some(())
    })
    .await;
    eventually_within(HEALED, "it to be ready again", async || {
        let answer = desk.service.request("GET", "/readyz", &[], &[]).ok()?;
        (answer.status == 200).then_some(())
    })
    .await;

    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(super::support::Hit::id).collect();
    assert_eq!(ids.len(), events.len(), "all arrived");
    // A delivery sent and not recorded when the network broke is sent again: so many may be in doubt.
    assert!(hits.len() <= events.len() + 128, "{} requests for {} events", hits.len(), events.len());
    tell(&format!("{name}: {} events, {} requests", ids.len(), hits.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_away_is_named_and_survived() {
    weather("postgres", |proxy| {
        proxy.refuse();
        proxy.cut();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_frozen_is_named_and_survived() {
    weather("postgres", Proxy::stall).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rabbitmq_away_is_named_and_survived() {
    weather("rabbitmq", |proxy| {
        proxy.refuse();
        proxy.cut();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rabbitmq_frozen_is_named_and_survived() {
    weather("rabbitmq", Proxy::stall).await;
}
