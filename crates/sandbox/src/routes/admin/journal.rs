//! The exact state of orders and journals, which tests compare other counts with.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{missing, ok, read};
use crate::world::World;
use crate::world::clock::{micros, written};
use crate::world::orders::{Gone, Order};

#[derive(Deserialize)]
pub(super) struct ExportQuery {
    seller_id: Option<String>,
    /// Include each order's whole content.
    #[serde(default)]
    documents: bool,
    /// Include orders that no longer exist.
    #[serde(default)]
    gone: bool,
}

fn lines(content: impl Iterator<Item = Value>) -> HttpResponse {
    let mut lines = String::new();
    for line in content {
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    HttpResponse::Ok().content_type("application/x-ndjson").body(lines)
}

fn line_of(order: &Order, events: &[&str], query: &ExportQuery) -> Value {
    let mut line = json!({
        "order_id": order.id,
        "status": order.status,
        "fulfillment_status": order.fulfillment,
        "revision": order.revision,
        "line_items": order.lines,
        "bought_at": written(order.bought_at),
        "events": events,
    });
    let Some(fields) = line.as_object_mut() else { return line };
    if query.gone {
        fields.insert("is_gone".to_owned(), json!(order.gone.is_some()));
        let into = order.gone.as_ref().and_then(|gone| match gone {
            Gone::Into(id) => Some(id),
            Gone::Away => None,
        });
        fields.insert("merged_into".to_owned(), json!(into));
    }
    if query.documents {
        fields.insert("document".to_owned(), order.form());
    }
    line
}

/// One line per order.
pub(super) async fn truth(world: web::Data<World>, query: web::Query<ExportQuery>) -> HttpResponse {
    let state = world.lock();
    let Some(seller) = state.seller(query.seller_id.as_deref()) else { return missing("seller") };
    let mut events: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for event in &seller.journal.events {
        events.entry(event.order).or_default().push(event.kind);
    }
    let selected = seller.orders.iter().enumerate().filter(|(_, order)| query.gone || order.gone.is_none());
    let none: &[&str] = &[];
    lines(selected.map(|(at, order)| line_of(order, events.get(&at).map_or(none, Vec::as_slice), &query)))
}

/// One line per event, with the time at which it was first shown to a reader.
pub(super) async fn events(world: web::Data<World>, query: web::Query<ExportQuery>) -> HttpResponse {
    let state = world.lock();
    let Some(seller) = state.seller(query.seller_id.as_deref()) else { return missing("seller") };
    lines(seller.journal.events.iter().map(|event| {
        json!({
            "event_id": format!("{:016}", event.id),
            "order_id": seller.orders.get(event.order).map(|order| &order.id),
            "type": event.kind,
            "occurred_at": written(event.occurred_at),
            "written_at_micros": event.written_at.map(micros),
            "served_at_micros": event.served_at.map(micros),
        })
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    seller_id: Option<String>,
}

/// Publishes all delayed events, of one seller or of all.
pub(super) async fn flush(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let Whose { seller_id } = given!(read(&body));
    let mut state = world.lock();
    let all = || state.sellers.iter().map(|seller| seller.id.clone()).collect();
    let ids: Vec<String> = seller_id.map_or_else(all, |id| vec![id]);
    let mut flushed = 0;
    for id in ids {
        let Some((seller, mut context)) = state.seller_mut(Some(&id)) else { return missing("seller") };
        flushed += seller.journal.flush(&id, &mut context);
    }
    ok(&json!({ "flushed": flushed }))
}

pub(super) async fn stats(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let count = |of: fn(&crate::world::orders::Seller) -> usize| state.sellers.iter().map(of).sum::<usize>();
    let now = state.now();
    ok(&json!({
        "orders": count(|seller| seller.living().count()),
        "events": count(|seller| seller.journal.events.len()),
        "events_held_back": count(|seller| seller.journal.held()),
        "requests": state.requests,
        "refused_by_limits": state.limits.refused,
        "tokens_issued": state.tokens.issued,
        "refreshes": state.tokens.refreshes,
        "blocked": state.faults.is_blocked(now) || state.limits.is_blocked(now),
    }))
}
