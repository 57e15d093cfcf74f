//! Functions that Allegro does not have: create orders, cause faults, read the exact state.
//! docs/guides/use-the-sandbox.md describes every request.

mod faults;
mod journal;
mod live;
mod orders;
mod rules;
mod sellers;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::plain;

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/rules", web::get().to(rules::all))
        .route("/rules", web::patch().to(rules::change))
        .route("/rules", web::delete().to(rules::reset))
        .route("/clock", web::get().to(rules::clock))
        .route("/clock/advance", web::post().to(rules::advance))
        .route("/auto-approve", web::put().to(rules::auto_approve))
        .route("/sellers", web::get().to(sellers::all))
        .route("/sellers", web::post().to(sellers::add))
        .route("/sellers/{id}/tokens", web::post().to(sellers::tokens))
        .route("/sellers/{id}/{kill}", web::post().to(sellers::kill))
        .route("/authorizations", web::get().to(sellers::waiting))
        .route("/authorizations/{code}/{decision}", web::post().to(sellers::decide))
        .route("/orders", web::post().to(orders::generate))
        .route("/orders/merge", web::post().to(orders::merge))
        .route("/orders/{id}/event", web::post().to(orders::event))
        .route("/orders/{id}/{action}", web::post().to(orders::act))
        .route("/live", web::post().to(live::go))
        .route("/live", web::get().to(live::status))
        .route("/live", web::delete().to(live::stop))
        .route("/journal", web::get().to(journal::truth))
        .route("/journal/events", web::get().to(journal::events))
        .route("/journal/flush", web::post().to(journal::flush))
        .route("/stats", web::get().to(journal::stats))
        .route("/faults", web::get().to(faults::all))
        .route("/faults", web::put().to(faults::set))
        .route("/faults", web::post().to(faults::add))
        .route("/faults", web::delete().to(faults::clear))
        .route("/faults/{id}", web::delete().to(faults::remove));
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<HttpResponse>> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Box::new(bad(&error.to_string())))
}

fn bad(message: &str) -> HttpResponse {
    plain(StatusCode::BAD_REQUEST, &json!({ "error": message }))
}

fn missing(what: &str) -> HttpResponse {
    plain(StatusCode::NOT_FOUND, &json!({ "error": format!("no such {what}") }))
}

fn ok(body: &Value) -> HttpResponse {
    plain(StatusCode::OK, body)
}
