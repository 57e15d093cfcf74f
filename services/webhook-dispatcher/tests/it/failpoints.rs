//! The process dies at each place where something was committed, published, sent or acknowledged, and the promise is
//! kept all the same: counted at the receiver.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::{eventually_within, side_by_side, tell};

use crate::support::{Desk, PATIENCE, Receiver, event};

const EVENTS: usize = 20;
/// A receiver may be told again what was under way to it, and no more than that.
const UNDER_WAY: usize = 8;

/// A place, and what it may repeat.
const POINTS: [(&str, usize); 10] = [
    ("consumer.before_apply", 0),
    // The first commit is the fan-out's, the second the first record of outcomes.
    ("pg.before_commit@1", 0),
    ("pg.after_commit@1", 0),
    ("consumer.before_acknowledge", UNDER_WAY),
    ("consumer.after_acknowledge", UNDER_WAY),
    ("webhook.before_send", 0),
    ("webhook.after_send", UNDER_WAY),
    ("pg.before_commit@2", UNDER_WAY),
    ("pg.after_commit@2", UNDER_WAY),
    ("webhook.after_record", UNDER_WAY),
];

#[test]
fn a_death_at_any_place_loses_nothing() {
    tell(&side_by_side(&POINTS, die_at).join("\n"));
}

async fn die_at((point, repeats): (&'static str, usize)) -> String {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    // No answer comes so late that it is asked for again: what is repeated is the death's doing.
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": 30 }));
    desk.service.kill();
    desk.service.start_to_die_at(point);
    let events: Vec<_> = (0..20).map(event).collect();
    desk.tell(&events).await;
    eventually_within(PATIENCE, &format!("the death at {point}"), async || {
        desk.service.has_died_at(point).then_some(())
    })
    .await;
    desk.end_leases().await;
    desk.service.start_again();
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 20).await;

    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(super::support::Hit::id).collect();
    let again = hits.len() - ids.len();
    assert_eq!(ids.len(), EVENTS, "{point}: events that arrived");
    assert!(again <= repeats, "{point}: {again} requests were repeated, {repeats} may be");
    assert_eq!(desk.count("webhook_deliveries").await, 20, "{point}: each event has one delivery");
    format!("{point:<30} died, {} of {EVENTS} arrived, {again} repeated", ids.len())
}
