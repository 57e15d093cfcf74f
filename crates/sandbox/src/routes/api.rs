//! Allegro's API host: who I am, the journal, one order.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, AUTHORIZATION};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::answer::{self, MEDIA_TYPE, oauth_error};
use crate::world::World;
use crate::world::clock::written;
use crate::world::journal::TYPES;
use crate::world::orders::Change;

/// What the seller's own tools may set; `RETURNED` is Allegro's alone.
const SETTABLE: [&str; 8] = [
    "NEW",
    "PROCESSING",
    "READY_FOR_SHIPMENT",
    "READY_FOR_PICKUP",
    "SENT",
    "PICKED_UP",
    "CANCELLED",
    "SUSPENDED",
];

/// Whose request it is, or the answer that refuses it.
pub(super) fn admit(request: &HttpRequest, world: &World) -> Result<String, Box<HttpResponse>> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        let text = "Full authentication is required to access this resource";
        return Err(Box::new(oauth_error(StatusCode::UNAUTHORIZED, "unauthorized", text)));
    };
    let Some(seller) = world.lock().tokens.seller_of(token).map(str::to_owned) else {
        let text = format!("Access token expired: {token}");
        return Err(Box::new(oauth_error(StatusCode::UNAUTHORIZED, "invalid_token", &text)));
    };
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    if !accept.split(',').any(|it| [MEDIA_TYPE, "*/*"].contains(&it.trim())) {
        let text = "Not acceptable representation requested. Please check 'Accept' request header.";
        return Err(Box::new(answer::error(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptableException",
            text,
            None,
        )));
    }
    Ok(seller)
}

/// The query as pairs, names repeated where they are given more than once.
pub(super) fn query(request: &HttpRequest) -> Vec<(String, String)> {
    serde_urlencoded::from_str(request.query_string()).unwrap_or_default()
}

/// A number of the query, or the answer that refuses it.
pub(super) fn number(
    query: &[(String, String)],
    name: &str,
    default: usize,
    max: usize,
) -> Result<usize, Box<HttpResponse>> {
    let Some((_, text)) = query.iter().find(|(given, _)| given == name) else { return Ok(default) };
    let smallest = usize::from(name == "limit");
    text.parse().ok().filter(|number| (smallest..=max).contains(number)).ok_or_else(|| {
        let text = format!("{name} must be between {smallest} and {max}");
        Box::new(answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", &text, Some(name)))
    })
}

/// Puts bodies that are written already into one JSON list.
pub(super) fn list_of(head: &str, bodies: &[Bytes], tail: &str) -> Bytes {
    let size: usize = bodies.iter().map(|body| body.len() + 1).sum();
    let mut page = BytesMut::with_capacity(head.len() + size + tail.len());
    page.extend_from_slice(head.as_bytes());
    for (at, body) in bodies.iter().enumerate() {
        if at > 0 {
            page.extend_from_slice(b",");
        }
        page.extend_from_slice(body);
    }
    page.extend_from_slice(tail.as_bytes());
    page.freeze()
}

pub(crate) async fn me(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    let login = world.lock().seller(Some(&seller)).map(|seller| seller.login.clone());
    let body = json!({
        "id": seller, "login": login, "firstName": "Łucja", "lastName": "Śliwińska",
        "email": "sklep@allegromail.pl", "baseMarketplace": { "id": "allegro-pl" }, "company": null, "features": [],
    });
    answer::resource(body.to_string())
}

pub(crate) async fn event_stats(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    let state = world.lock();
    let latest = state.seller(Some(&seller)).and_then(|seller| seller.journal.last());
    let latest =
        latest.map(|event| json!({ "id": event.id.to_string(), "occurredAt": written(event.occurred_at) }));
    answer::resource(json!({ "latestEvent": latest }).to_string())
}

pub(crate) async fn events(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    let query = query(&request);
    let limit = given!(number(&query, "limit", 100, 1000));
    let types: Vec<&str> =
        query.iter().filter(|(name, _)| name == "type").map(|(_, value)| value.as_str()).collect();
    if let Some(unknown) = types.iter().find(|it| !TYPES.contains(it)) {
        let text = format!("Unknown event type {unknown}");
        return answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", &text, Some("type"));
    }
    let from = match query.iter().find(|(name, _)| name == "from").map(|(_, value)| value.parse::<u64>()) {
        None => 0,
        Some(Ok(from)) => from,
        Some(Err(_not_an_id)) => {
            let text = "from must be an event id";
            return answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", text, Some("from"));
        }
    };
    let state = world.lock();
    let journal = state.seller(Some(&seller)).map_or(&[][..], |seller| &seller.journal);
    let start = journal.partition_point(|event| event.id <= from);
    let bodies: Vec<Bytes> = journal
        .iter()
        .skip(start)
        .filter(|event| types.is_empty() || types.contains(&event.kind))
        .take(limit)
        .map(|event| event.body.clone())
        .collect();
    drop(state);
    answer::resource(list_of("{\"events\":[", &bodies, "]}"))
}

fn not_found(id: &str) -> HttpResponse {
    let text = format!("Checkout form with id {id} not found");
    answer::error(StatusCode::NOT_FOUND, "CheckoutFormNotFoundException", &text, None)
}

fn is_malformed(id: &str) -> bool {
    uuid::Uuid::parse_str(id).is_err()
}

fn malformed(id: &str) -> HttpResponse {
    let text = format!("{id} is not a UUID");
    answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", &text, Some("id"))
}

pub(crate) async fn order(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<String>,
) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    if is_malformed(&id) {
        return malformed(&id);
    }
    let state = world.lock();
    let found = state.seller(Some(&seller)).and_then(|seller| seller.find(&id));
    found.map_or_else(|| not_found(&id), |order| answer::resource(order.body.clone()))
}

pub(crate) async fn fulfill(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    if is_malformed(&id) {
        return malformed(&id);
    }
    let content: Value = serde_json::from_slice(&body).unwrap_or_default();
    let wanted = content.get("status").and_then(Value::as_str).unwrap_or_default();
    if !SETTABLE.contains(&wanted) {
        let text = format!("Status {wanted:?} cannot be set");
        return answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", &text, Some("status"));
    }
    let revision = query(&request).into_iter().find(|(name, _)| name == "checkoutForm.revision");
    let mut state = world.lock();
    let Some((seller, last)) = state.seller_mut(Some(&seller)) else { return not_found(&id) };
    let Some(order) = seller.find(&id) else { return not_found(&id) };
    if revision.is_some_and(|(_, revision)| revision != order.revision) {
        let text = "The order has another revision now";
        return answer::error(StatusCode::CONFLICT, "ConflictException", text, Some("checkoutForm.revision"));
    }
    seller.change(last, &id, &Change::Fulfill(wanted.to_owned()));
    answer::no_content()
}
