//! The error codes of this crate.

use actix_web::http::StatusCode;

/// One kind of error: a `code` for programs and a `title` for people.
///
/// A code is a contract: its name and its status never change.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// Stable, snake_case.
    pub code: &'static str,
    /// The HTTP status of every answer with this code.
    pub status: u16,
    /// The same short sentence for every occurrence (RFC 9457 §3.1.3).
    pub title: &'static str,
    /// When it occurs and what to do, for docs/reference/ERRORS.md.
    pub meaning: &'static str,
}

impl ErrorCode {
    /// The problem's `type`: URL of the code's description.
    pub fn url(&self) -> String {
        format!("https://github.com/zaplecze/zaplecze/blob/main/docs/reference/ERRORS.md#{}", self.code)
    }

    /// The code of an answer of which only the status is known, e.g. one of the HTTP library.
    pub(crate) fn for_status(status: StatusCode) -> &'static Self {
        CODES
            .iter()
            .copied()
            .find(|code| code.status == status.as_u16())
            .unwrap_or(if status.is_server_error() { &INTERNAL } else { &BAD_REQUEST })
    }
}

/// Declares error codes as statics, and `CODES`, the list of all of them. Use it once per module.
///
/// ```
/// web::error_codes! {
///     pub
///     DOOR_NOT_FOUND = 404 "door_not_found", "No such door", "No door has this id.";
/// }
/// assert_eq!(CODES, [&DOOR_NOT_FOUND]);
/// ```
#[macro_export]
macro_rules! error_codes {
    ($vis:vis $($name:ident = $status:literal $code:literal, $title:literal, $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            $vis static $name: $crate::problem::ErrorCode =
                $crate::problem::ErrorCode { code: $code, status: $status, title: $title, meaning: $meaning };
        )+

        /// Every code declared here, generic ones first among those of equal status.
        $vis static CODES: &[&$crate::problem::ErrorCode] = &[$(&$name),+];
    };
}

crate::error_codes! {
    pub
    BAD_REQUEST = 400 "bad_request", "The request is not valid HTTP for this resource",
        "The request could not be read: a broken body, a header that is not text.";
    MALFORMED_JSON = 400 "malformed_json", "The body is not JSON",
        "The body is not well-formed UTF-8 JSON; `detail` names the line and column.";
    INVALID_CONTENT = 400 "invalid_content", "The body breaks a rule",
        "The body is JSON, but fields are missing, unknown, of a wrong type or against a rule; `errors` points at them.";
    INVALID_PARAMETER = 400 "invalid_parameter", "A parameter breaks a rule",
        "A path or query parameter is missing, unknown, of a wrong type or against a rule; `errors` names it.";
    INVALID_CURSOR = 400 "invalid_cursor", "The cursor is not one of ours",
        "`cursor` must be a `next_cursor` given by the same list; start again without it.";
    IDEMPOTENCY_KEY_INVALID = 400 "idempotency_key_invalid", "The Idempotency-Key is not valid",
        "`Idempotency-Key` must be one value of 1 to 255 printable ASCII characters.";
    CREDENTIAL_MISSING = 401 "credential_missing", "A credential is needed",
        "Send `Authorization: Bearer <token>` or `X-API-Key: <key>`.";
    CREDENTIAL_INVALID = 401 "credential_invalid", "The credential is not valid",
        "The token or key is expired, not signed by us, meant for others, or unknown; `detail` says which.";
    SCOPE_MISSING = 403 "scope_missing", "The credential does not allow this",
        "The credential is valid but lacks the scope that `detail` names.";
    NOT_FOUND = 404 "not_found", "There is no such resource",
        "No route has this path.";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed", "The resource does not know this method",
        "The `Allow` header lists the methods it knows.";
    REQUEST_RUNNING = 409 "request_running", "The first request with this Idempotency-Key still runs",
        "Send the same request again after `Retry-After` seconds; it will be answered as the first one is.";
    BODY_TOO_LARGE = 413 "body_too_large", "The body is too large",
        "A body may be 1 MiB at most.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type", "The body's type is not supported",
        "Send `Content-Type: application/json`, in UTF-8 and without `Content-Encoding`.";
    IDEMPOTENCY_KEY_REUSED = 422 "idempotency_key_reused", "The Idempotency-Key was used by another request",
        "Within 24 hours a key identifies one request; use a new key for a new request.";
    RATE_LIMITED = 429 "rate_limited", "Too many requests",
        "The caller, or without a valid credential its address, exceeds its rate limit; repeat the request after `Retry-After` seconds.";
    INTERNAL = 500 "internal", "Something went wrong on our side",
        "Unexpected; the cause is in the service's log under the answer's `request_id`.";
    DEPENDENCY_UNAVAILABLE = 503 "dependency_unavailable", "A dependency is down",
        "Something the service needs does not answer; repeat the request after `Retry-After` seconds.";
    SCHEMA_OUTDATED = 503 "schema_outdated", "The database is not migrated",
        "The database lacks migrations or columns that the service needs; repeat the request after `Retry-After` seconds.";
    ENCRYPTION_KEY_MISSING = 503 "encryption_key_missing", "An encryption key is missing",
        "The process lacks the key a stored value is sealed with; repeat the request after `Retry-After` seconds.";
    REQUEST_TIMEOUT = 503 "request_timeout", "The request took too long",
        "The service abandoned the request. Its effect may nevertheless be committed.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{CODES, ErrorCode};

    #[test]
    fn codes_are_unique_snake_case_and_errors() {
        let mut seen = HashSet::new();
        for ErrorCode { code, status, title, meaning } in CODES {
            assert!(seen.insert(code), "{code} is declared twice");
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!((400..600).contains(status), "{code}");
            assert!(!title.ends_with('.') && meaning.ends_with('.'), "{code}");
        }
    }
}
