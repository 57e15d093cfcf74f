//! What can go wrong, as callers see it.

use domain::Chain;
use web::problem::{ErrorCode, Problem};

use crate::app::access::{CallError, TokenStoreError};
use crate::clients::allegro::AllegroError;

/// Nothing of the kind, or not this caller's: both look the same.
pub(crate) static TOKEN_NOT_FOUND: ErrorCode = ErrorCode {
    code: "token_not_found",
    status: 404,
    title: "No such account",
    meaning: "No connected account has this id, or it is another user's.",
};
pub(crate) static AUTHORIZATION_NOT_FOUND: ErrorCode = ErrorCode {
    code: "authorization_not_found",
    status: 404,
    title: "No such authorization",
    meaning: "No authorization has this id or device code, or it is another user's.",
};
pub(crate) static ORDER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "order_not_found",
    status: 404,
    title: "No such order",
    meaning: "None of the user's accounts has an order with this id.",
};
pub(crate) static NO_ACCOUNT: ErrorCode = ErrorCode {
    code: "no_account",
    status: 404,
    title: "No connected account",
    meaning: "The user has no connected Allegro account.",
};
pub(crate) static SEVERAL_ACCOUNTS: ErrorCode = ErrorCode {
    code: "several_accounts",
    status: 409,
    title: "Several accounts",
    meaning: "The user has several connected accounts; the request must name one by token_id.",
};
pub(crate) static ALLEGRO_REFUSED: ErrorCode = ErrorCode {
    code: "allegro_refused",
    status: 503,
    title: "Allegro refused",
    meaning: "Allegro does not accept this application; its id or secret is wrong, or it is not a device application.",
};

/// The database is down, or we made a mistake.
pub(crate) fn database(error: &pg::Error) -> Problem {
    if error.is_unavailable() { Problem::unavailable("postgres", error) } else { Problem::internal(error) }
}

/// A call to Allegro failed while its caller waited.
pub(crate) fn allegro(error: &CallError) -> Problem {
    match error {
        CallError::Allegro(AllegroError::Paused(after)) => {
            Problem::unavailable("allegro", error).retry_after(*after)
        }
        CallError::Allegro(AllegroError::Unavailable { .. } | AllegroError::Malformed) => {
            Problem::unavailable("allegro", error)
        }
        CallError::Allegro(_) => {
            tracing::error!(error = %Chain(error), "Allegro refused the application");
            Problem::new(&ALLEGRO_REFUSED).detail(error.to_string())
        }
        CallError::Store(TokenStoreError::Database(error)) => database(error),
        CallError::Store(_)
        | CallError::RefreshBroke
        | CallError::Removed
        | CallError::NeedsReauthorization => Problem::internal(error),
    }
}
