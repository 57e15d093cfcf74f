//! The paths of Allegro, and of the sandbox.

/// The result of a step, or the answer that rejects the request.
macro_rules! given {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(refusal) => return *refusal,
        }
    };
}

mod admin;
mod admit;
mod events;
pub(crate) mod gate;
mod listing;
mod oauth;
mod offers;
mod orders;
mod page;
mod query;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use crate::answer;

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/auth/oauth/device", web::post().to(oauth::device))
        .route("/auth/oauth/token", web::post().to(oauth::token))
        .route("/skojarz-aplikacje", web::get().to(page::ask))
        .route("/skojarz-aplikacje", web::post().to(page::decide))
        .route("/me", web::get().to(orders::me))
        .route("/order/event-stats", web::get().to(events::stats))
        .route("/order/events", web::get().to(events::list))
        .route("/order/checkout-forms", web::get().to(listing::list))
        .route("/order/checkout-forms/{id}", web::get().to(orders::one))
        .route("/order/checkout-forms/{id}/fulfillment", web::put().to(orders::fulfill))
        .route("/sale/offers", web::get().to(offers::list))
        .route("/sale/offer-quantity-change-commands/{id}", web::put().to(offers::command))
        .route("/sale/offer-quantity-change-commands/{id}", web::get().to(offers::report))
        .route("/sale/offer-quantity-change-commands/{id}/tasks", web::get().to(offers::tasks))
        .service(web::scope("/_sandbox").configure(admin::configure))
        .default_service(web::to(unknown));
}

async fn unknown() -> HttpResponse {
    answer::error(StatusCode::NOT_FOUND, "NotFoundException", "Not found", None)
}
