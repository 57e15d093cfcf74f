//! The event journal.

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::json;

use super::admit::{ORDERS_READ, admit};
use super::query::{Query, list_of};
use crate::answer;
use crate::world::World;
use crate::world::clock::written;
use crate::world::journal::TYPES;
use crate::world::rules::{EmptyStats, UnknownType};

pub(crate) async fn stats(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let id = given!(admit(&request, &world, ORDERS_READ));
    let mut state = world.lock();
    let look = state.rules.journal.empty_stats;
    let Some((seller, mut pen)) = state.seller_mut(Some(&id)) else { return answer::no_content() };
    seller.journal.release(&id, &mut pen);
    let oldest = seller.journal.start(None, pen.rules, pen.now).unwrap_or_default();
    let latest = seller.journal.events.get(oldest..).and_then(<[_]>::last);
    let body = match latest {
        Some(event) => {
            json!({ "latestEvent": { "id": format!("{:016}", event.id), "occurredAt": written(event.occurred_at) } })
        }
        None if look == EmptyStats::Absent => json!({}),
        None => json!({ "latestEvent": null }),
    };
    answer::resource(body.to_string())
}

pub(crate) async fn list(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let id = given!(admit(&request, &world, ORDERS_READ));
    let query = Query::of(&request);
    let mut state = world.lock();
    let refused_with = state.rules.list.bad_number_status;
    let limit = given!(query.number("limit", 100, (1, 1000), refused_with));
    let rules = &state.rules.journal;
    let mut types = query.all("type");
    if rules.comma_types {
        types = types.into_iter().flat_map(|it| it.split(',')).collect();
    }
    if let Some(unknown) = types.iter().find(|it| !TYPES.contains(it)) {
        match rules.unknown_type {
            UnknownType::Refuse => {
                return answer::invalid(&format!("Unknown event type {unknown}"), "type");
            }
            UnknownType::Ignore => types.retain(|it| TYPES.contains(it)),
            // An event type that does not exist matches nothing.
            UnknownType::Match => {}
        }
    }
    let from = match query.first("from").map(str::parse::<u64>) {
        None => None,
        Some(Ok(from)) => Some(from),
        Some(Err(_not_an_id)) => return answer::invalid("from must be an event id", "from"),
    };
    let Some((seller, mut pen)) = state.seller_mut(Some(&id)) else { return answer::no_content() };
    seller.journal.release(&id, &mut pen);
    let Some(start) = seller.journal.start(from, pen.rules, pen.now) else {
        return answer::invalid("from names no event", "from");
    };
    let without_id = pen.rules.without_id;
    let bodies: Vec<Bytes> = seller
        .journal
        .events
        .iter_mut()
        .skip(start)
        .filter(|event| types.is_empty() || types.contains(&event.kind))
        .take(limit)
        .map(|event| {
            event.served_at.get_or_insert(pen.now);
            if without_id { nameless(&event.body) } else { event.body.clone() }
        })
        .collect();
    drop(state);
    answer::resource(list_of("{\"events\":[", &bodies, "]}"))
}

/// The event without its id.
fn nameless(body: &Bytes) -> Bytes {
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(mut event)) => {
            event.remove("id");
            Bytes::from(serde_json::Value::Object(event).to_string())
        }
        Ok(_) | Err(_) => body.clone(),
    }
}
