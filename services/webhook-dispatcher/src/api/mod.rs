//! The HTTP interface, prefix `/api/v1`.

#[cfg(test)]
mod at_once_tests;
mod deliveries;
mod events;
mod problems;
mod replays;
mod webhooks;

use domain::DeliveryId;
use web::Routes;

use crate::app::deliveries::Status;

/// The routes of the service, besides those of tasks and schedules.
pub(crate) const ROUTES: Routes = web::routes! {
    title: "webhook-dispatcher",
    description: "Signed webhooks that always arrive.",
    codes: problems::CODES,
    schemas: [DeliveryId, Status],
    "/webhooks" => { get: webhooks::list, post: webhooks::create },
    "/webhooks/{id}" => { get: webhooks::get, patch: webhooks::change, delete: webhooks::delete },
    "/webhooks/{id}/rotate-secret" => { post: webhooks::rotate::rotate },
    "/webhooks/{id}/test" => { post: replays::test },
    "/webhooks/{id}/recover" => { post: replays::recover },
    "/webhooks/{id}/replay" => { post: replays::replay },
    "/webhooks/{id}/stats" => { get: deliveries::stats::get },
    "/webhooks/{id}/deliveries" => { get: deliveries::list },
    "/deliveries/{id}" => { get: deliveries::get },
    "/deliveries/{id}/retry" => { post: deliveries::act::retry },
    "/deliveries/{id}/cancel" => { post: deliveries::act::cancel },
    "/events" => { post: events::publish },
    "/event-types" => { get: events::types },
};
