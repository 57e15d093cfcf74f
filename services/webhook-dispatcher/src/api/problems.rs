//! What can go wrong, as callers see it.

use web::Problem;

use crate::app::deliveries::Refusal;
use crate::app::events::PublishError;
use crate::app::subscriptions::WriteError;

web::error_codes! {
    pub(crate)
    WEBHOOK_NOT_FOUND = 404 "webhook_not_found", "No such webhook",
        "No subscription has this id, or it is another user's.";
    DELIVERY_NOT_FOUND = 404 "delivery_not_found", "No such delivery",
        "No delivery has this id, or its subscription is another user's or was deleted.";
    TOO_MANY_SECRETS = 409 "too_many_secrets", "Too many secrets sign already",
        "Ten secrets that were replaced still sign; wait until one of them expires, or let this one replace without overlap.";
    SECRET_KNOWN = 409 "secret_known", "The secret signs already",
        "The new secret is the present one, or one that was replaced and still signs.";
    DELIVERY_STATE = 409 "delivery_state", "The delivery's state does not allow it",
        "Only a delivery that has not ended can be called off; one that is being delivered cannot be sent again before that ends.";
    WEBHOOK_INACTIVE = 409 "webhook_inactive", "The subscription is not active",
        "Nothing is sent to a subscription that is paused or was disabled; make it active first.";
    PAYLOAD_EXPIRED = 409 "payload_expired", "The payload is kept no longer",
        "The event's body was forgotten after the time it is kept, so that it cannot be sent again.";
}

/// Why a delivery stays as it is.
pub(crate) fn refused(refusal: Refusal) -> Problem {
    Problem::new(match refusal {
        Refusal::Gone => &DELIVERY_NOT_FOUND,
        Refusal::State => &DELIVERY_STATE,
        Refusal::Inactive => &WEBHOOK_INACTIVE,
        Refusal::Expired => &PAYLOAD_EXPIRED,
    })
}

/// Why an event was not taken in.
pub(crate) fn publish(error: &PublishError) -> Problem {
    match error {
        PublishError::Database(error) => Problem::database(error),
        PublishError::Body(error) => Problem::internal(error),
    }
}

/// What becomes of a failed write; `refused` says what of a refusal.
pub(crate) fn of_write<E>(refused: impl FnOnce(E) -> Problem) -> impl FnOnce(WriteError<E>) -> Problem {
    move |error| match error {
        WriteError::Database(error) => Problem::database(&error),
        WriteError::Seal(error) => Problem::sealed(&error),
        WriteError::Gone => Problem::new(&WEBHOOK_NOT_FOUND),
        WriteError::Refused(refusal) => refused(refusal),
    }
}
