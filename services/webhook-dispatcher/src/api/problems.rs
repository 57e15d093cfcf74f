//! What can go wrong, as callers see it.

use web::problem::{ErrorCode, Problem};

use crate::app::subscriptions::SubscribeError;

pub(crate) static WEBHOOK_NOT_FOUND: ErrorCode = ErrorCode {
    code: "webhook_not_found",
    status: 404,
    title: "No such webhook",
    meaning: "No subscription has this id, or it is another user's.",
};
pub(crate) static DELIVERY_NOT_FOUND: ErrorCode = ErrorCode {
    code: "delivery_not_found",
    status: 404,
    title: "No such delivery",
    meaning: "No delivery has this id, or its subscription is another user's or was deleted.",
};

/// The database is down, or we made a mistake.
pub(crate) fn database(error: &pg::Error) -> Problem {
    if error.is_unavailable() { Problem::unavailable("postgres", error) } else { Problem::internal(error) }
}

pub(crate) fn subscribe(error: &SubscribeError) -> Problem {
    match error {
        SubscribeError::Database(error) => database(error),
        SubscribeError::Seal(error) => Problem::internal(error),
    }
}
