//! The final table: the guarantees, with the counts at the source and at the end.

use std::collections::BTreeSet;

use anyhow::Result;

use super::client::Client;
use super::subscriber::Subscriber;

struct Row {
    promise: &'static str,
    source: usize,
    end: usize,
    is_met: bool,
}

/// A guarantee and its counts.
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Counts at the source, at the services and at the subscriber. `window` is the number of webhooks that the kills
    /// may have repeated.
    pub(crate) fn count(
        client: &Client,
        subscriber: &Subscriber,
        users: &[&str],
        window: usize,
    ) -> Result<Self> {
        let source = client.source_orders()?;
        let all: BTreeSet<String> = source.iter().map(|order| order.id.clone()).collect();
        let cancelled: BTreeSet<String> =
            source.iter().filter(|order| order.is_cancelled).map(|order| order.id.clone()).collect();
        let mut stored = BTreeSet::new();
        for user in users {
            stored.extend(client.stored_orders(user)?.into_keys());
        }
        let received = subscriber.received();
        let same = |promise, source: &BTreeSet<String>, end: &BTreeSet<String>| Row {
            promise,
            source: source.len(),
            end: end.len(),
            is_met: source == end,
        };
        let repeated = received.repeated();
        Ok(Self(vec![
            same("every order of Allegro is stored, once", &all, &stored),
            same("every order is announced to the subscriber", &all, &received.of("order.created")),
            same("every cancellation is announced", &cancelled, &received.of("order.cancelled")),
            Row {
                promise: "every webhook's signature verifies (failed)",
                source: 0,
                end: received.forged,
                is_met: received.forged == 0,
            },
            Row {
                promise: "webhooks repeated, at most the window per kill",
                source: window,
                end: repeated,
                is_met: repeated <= window,
            },
        ]))
    }

    pub(crate) fn is_met(&self) -> bool {
        self.0.iter().all(|row| row.is_met)
    }

    pub(crate) fn print(&self) {
        println!("\n  {:<46}{:>10}{:>10}", "promised", "source", "end");
        for row in &self.0 {
            let verdict = if row.is_met { "yes" } else { "NO" };
            println!("  {:<46}{:>10}{:>10}  {verdict}", row.promise, row.source, row.end);
        }
    }
}
