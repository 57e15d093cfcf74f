//! What can go wrong, as callers see it.

use domain::Chain;
use web::Problem;

use crate::app::access::{CallError, TokenStoreError};
use crate::app::accounts::Account;
use crate::clients::allegro::AllegroError;

web::error_codes! {
    pub(crate)
    TOKEN_NOT_FOUND = 404 "token_not_found", "No such account",
        "No connected account has this id, or it is another user's.";
    AUTHORIZATION_NOT_FOUND = 404 "authorization_not_found", "No such authorization",
        "No authorization has this id or device code, or it is another user's.";
    ORDER_NOT_FOUND = 404 "order_not_found", "No such order",
        "None of the user's accounts has an order with this id.";
    VERSION_NOT_FOUND = 404 "version_not_found", "No such version",
        "The order has no content with this number; its versions are listed.";
    NO_ACCOUNT = 404 "no_account", "No connected account",
        "The user has no connected Allegro account.";
    SEVERAL_ACCOUNTS = 409 "several_accounts", "Several accounts",
        "The user has several connected accounts; the request must name one by token_id.";
    ACCOUNT_REMOVED = 409 "account_removed", "Account removed",
        "The account was removed; connect it again.";
    NEEDS_REAUTHORIZATION = 409 "needs_reauthorization", "Needs its owner",
        "Allegro no longer takes the account's tokens; its owner must connect it again.";
    EXPORTS_BUSY = 503 "exports_busy", "Too many exports at once",
        "So many exports are under way that another would take the database from everybody else; ask again later.";
    ALLEGRO_REFUSED = 503 "allegro_refused", "Allegro refused",
        "Allegro does not accept this application; its id or secret is wrong, or it is not a device application.";
}

/// Refuses accounts for which nothing can be read before their owner has connected them again.
pub(crate) fn connected(account: &Account) -> Result<(), Problem> {
    if account.needs_reauthorization { Err(Problem::new(&NEEDS_REAUTHORIZATION)) } else { Ok(()) }
}

/// A call to Allegro failed while its caller waited.
pub(crate) fn allegro(error: &CallError) -> Problem {
    match error {
        CallError::Allegro(AllegroError::Paused(halt)) => {
            Problem::unavailable("allegro", error).retry_after(halt.wait)
        }
        CallError::Allegro(AllegroError::Unavailable { .. } | AllegroError::Malformed { .. }) => {
            Problem::unavailable("allegro", error)
        }
        CallError::RefreshInProgress => Problem::unavailable("allegro", error).detail(error.to_string()),
        CallError::Allegro(_) => {
            tracing::error!(error = %Chain(error), "Allegro refused the application");
            Problem::new(&ALLEGRO_REFUSED).detail(error.to_string())
        }
        CallError::Store(TokenStoreError::Database(error)) => Problem::database(error),
        CallError::Removed => Problem::new(&ACCOUNT_REMOVED),
        CallError::NeedsReauthorization => Problem::new(&NEEDS_REAUTHORIZATION),
        CallError::Store(TokenStoreError::Seal(error)) => Problem::sealed(error),
        CallError::RefreshBroke => Problem::internal(error),
    }
}
