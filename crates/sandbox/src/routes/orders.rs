//! The seller's profile, and single orders.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use time::Duration;

use super::admit::{ORDERS_READ, ORDERS_WRITE, PROFILE_READ, admit, has_content};
use super::query::Query;
use crate::answer;
use crate::world::World;
use crate::world::change::Change;
use crate::world::clock::seconds;

/// The statuses that the seller may set; only Allegro sets `RETURNED`.
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
/// The part of an order that was sent.
const SENT: [&str; 3] = ["NONE", "SOME", "ALL"];

pub(crate) async fn me(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world, PROFILE_READ));
    let login = world.lock().seller(Some(&seller)).map(|seller| seller.login.clone());
    let body = json!({
        "id": seller, "login": login, "firstName": "Łucja", "lastName": "Śliwińska",
        "email": "sklep@allegromail.pl", "baseMarketplace": { "id": "allegro-pl" }, "company": null, "features": [],
    });
    answer::resource(body.to_string())
}

fn not_found(id: &str) -> HttpResponse {
    let text = format!("Checkout form {id} not found.");
    let path = format!("/order/checkout-forms/{id}");
    answer::error(StatusCode::NOT_FOUND, "CheckoutFormNotFoundException", &text, Some(&path))
}

fn is_uuid(id: &str) -> Result<(), Box<HttpResponse>> {
    if uuid::Uuid::parse_str(id).is_ok() {
        return Ok(());
    }
    Err(Box::new(answer::invalid(&format!("{id} is not a UUID"), "id")))
}

pub(crate) async fn one(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<String>,
) -> HttpResponse {
    let seller = given!(admit(&request, &world, ORDERS_READ));
    given!(is_uuid(&id));
    let world = world.lock();
    let now = world.now();
    let oldest = now.saturating_sub(seconds(world.rules.list.detail_days * 86_400));
    let found = world.seller(Some(&seller)).and_then(|seller| seller.find(&id));
    let Some(order) = found.filter(|order| order.bought_at >= oldest) else { return not_found(&id) };
    let stale = Duration::milliseconds(i64::try_from(world.rules.api.stale_read_ms).unwrap_or(i64::MAX));
    let body = match &order.before {
        Some((before, at)) if now - *at < stale => before.clone(),
        _ => order.body.clone(),
    };
    answer::resource(body)
}

/// The requested change of the fulfillment, or the answer that rejects it.
fn wishes(content: &Value) -> Result<Vec<Change>, Box<HttpResponse>> {
    let part = |pointer: &str| content.pointer(pointer).and_then(Value::as_str);
    let status = part("/status");
    let of_lines = part("/shipmentSummary/lineItemsSent");
    if status.is_none() && of_lines.is_none() {
        return Err(Box::new(answer::invalid("may not be null", "status")));
    }
    if let Some(other) = status.filter(|it| !SETTABLE.contains(it)) {
        let text = format!("Status {other:?} cannot be set");
        return Err(Box::new(answer::invalid(&text, "status")));
    }
    if of_lines.is_some_and(|it| !SENT.contains(&it)) {
        return Err(Box::new(answer::invalid("must be NONE, SOME or ALL", "shipmentSummary.lineItemsSent")));
    }
    let status = status.map(|it| Change::Fulfill(it.to_owned()));
    Ok(status.into_iter().chain(of_lines.map(|it| Change::Sent(it.to_owned()))).collect())
}

pub(crate) async fn fulfill(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    let seller = given!(admit(&request, &world, ORDERS_WRITE));
    given!(has_content(&request, &world));
    given!(is_uuid(&id));
    let changes = given!(wishes(&serde_json::from_slice(&body).unwrap_or_default()));
    let query = Query::of(&request);
    let mut state = world.lock();
    let most = state.rules.api.changes_per_order;
    let Some((seller, mut pen)) = state.seller_mut(Some(&seller)) else { return not_found(&id) };
    let Some(order) = seller.find(&id) else { return not_found(&id) };
    if query.first("checkoutForm.revision").is_some_and(|revision| revision != order.revision) {
        let text = "The order has another revision now";
        return answer::error(StatusCode::CONFLICT, "ConflictException", text, Some("checkoutForm.revision"));
    }
    if most > 0 && order.seller_changes >= most {
        let path = format!("/order/checkout-forms/{}/fulfillment", *id);
        let code = "SellerOrdersStoreUnprocessableEntityException";
        return answer::error(StatusCode::UNPROCESSABLE_ENTITY, code, "Too many changes", Some(&path));
    }
    for change in changes {
        seller.change(&id, &change, &mut pen, false);
    }
    seller.count_change(&id);
    answer::no_content()
}
