//! What can go wrong, as callers see it.

web::error_codes! {
    pub(crate)
    OPERATION_NOT_FOUND = 404 "operation_not_found", "No such operation",
        "No operation has this id, or it is another user's.";
    OPERATION_STATE = 400 "operation_state", "The operation's state does not allow it",
        "Only pending and failed operations can be tried again; completed and cancelled ones, and refunds that moved, cannot be cancelled.";
    NOT_OF_ONE_USER = 403 "not_of_one_user", "The shelf is the shop's, not one user's",
        "Ask with a credential that is not bound to a user.";
    WAREHOUSE_NOT_FOUND = 404 "warehouse_not_found", "No such warehouse",
        "Make the warehouse first, or use the default one.";
    STOCK_CHANGED = 409 "stock_changed", "The level was changed meanwhile",
        "Read it again: `If-Match` names the version you have seen, and it is another one now.";
    TOO_FEW = 409 "too_few_units", "There are too few units",
        "The warehouse does not allow less than nothing.";
    WAREHOUSE_EXISTS = 409 "warehouse_exists", "There is such a warehouse already",
        "Names of warehouses are unique.";
    WAREHOUSE_IN_USE = 409 "warehouse_in_use", "The warehouse is in use",
        "It is the default one, an account sells from it, things were in it, or it has levels below zero; `detail` says which.";
    IMPORT_REFUSED = 400 "import_refused", "Rows of the file are not valid",
        "Nothing was imported; `errors` names rows (the first is 1, below the header) and columns. `mode=skip_bad` imports the others.";
    GOOD_NOT_FOUND = 404 "good_not_found", "No such good",
        "No meaning of a name of the plant has this id.";
    GOOD_EXISTS = 409 "good_exists", "This name and code mean something already",
        "Remove the meaning they have first.";
    BUNDLE_NOT_FOUND = 404 "bundle_not_found", "No such bundle",
        "No bundle has this SKU.";
    BUNDLE_NESTED = 409 "bundle_nested", "A bundle is a component of a bundle",
        "Components are SKUs that lie in a warehouse themselves; `detail` names the SKU that is both.";
    ACCOUNT_NOT_FOUND = 404 "account_not_found", "No such account",
        "No connected account has this token_id, or it is another user's.";
}
