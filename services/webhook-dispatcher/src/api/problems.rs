//! What can go wrong, as callers see it.

use web::Problem;

use crate::app::subscriptions::SubscribeError;

web::error_codes! {
    pub(crate)
    WEBHOOK_NOT_FOUND = 404 "webhook_not_found", "No such webhook",
        "No subscription has this id, or it is another user's.";
    DELIVERY_NOT_FOUND = 404 "delivery_not_found", "No such delivery",
        "No delivery has this id, or its subscription is another user's or was deleted.";
}

pub(crate) fn subscribe(error: &SubscribeError) -> Problem {
    match error {
        SubscribeError::Database(error) => Problem::database(error),
        SubscribeError::Seal(error) => Problem::internal(error),
    }
}
