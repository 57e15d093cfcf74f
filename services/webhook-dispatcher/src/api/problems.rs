//! What can go wrong, as callers see it.

use web::Problem;

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
}

/// What becomes of a failed write; `refused` says what of a refusal.
pub(crate) fn of_write<E>(refused: impl FnOnce(E) -> Problem) -> impl FnOnce(WriteError<E>) -> Problem {
    move |error| match error {
        WriteError::Database(error) => Problem::database(&error),
        WriteError::Seal(error) => Problem::internal(&error),
        WriteError::Gone => Problem::new(&WEBHOOK_NOT_FOUND),
        WriteError::Refused(refusal) => refused(refusal),
    }
}
