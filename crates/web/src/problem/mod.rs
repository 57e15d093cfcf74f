//! Errors in the API: RFC 9457 problem details with a stable `code`.
//!
//! Invariant: no internals (SQL, stack, cause) get into an answer. [`Problem::internal`] and [`Problem::unavailable`]
//! log the cause, once.

mod codes;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use domain::Chain;
use pg::Unfit;
use pg::sealed::SealError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use codes::*;

/// The media type of every error answer (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// `Retry-After` when a dependency is down.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// `Retry-After` when each attempt collided with other transactions.
const COLLISION_OVER: Duration = Duration::from_secs(1);

/// An error to answer with. The server adds `instance` and `request_id`.
#[derive(Debug, Clone)]
pub struct Problem {
    code: &'static ErrorCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    is_collision: bool,
}

/// One error of the request's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or the name of a path or query parameter.
    #[schema(example = "/user_id")]
    pub pointer: String,
    /// The rule that was broken, stable, in snake_case.
    #[schema(example = "missing")]
    pub code: String,
    /// The rule as text.
    #[schema(example = "this field is required")]
    pub message: String,
}

/// The JSON of a problem. Public for the OpenAPI document (schema `Problem`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// URL of the code's description.
    #[serde(rename = "type")]
    #[schema(
        example = "https://github.com/zaplecze/zaplecze/blob/main/docs/reference/ERRORS.md#invalid_content"
    )]
    kind: String,
    /// Title of the code, the same for every occurrence.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// The error code, stable, in snake_case. Programs decide by it.
    #[schema(example = "invalid_content")]
    code: &'a str,
    /// Description of this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Path of the request.
    instance: &'a str,
    /// The request's id, as in the `X-Request-Id` header and in the log.
    request_id: &'a str,
    /// All errors of the content.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem of this code, without details.
    pub fn new(code: &'static ErrorCode) -> Self {
        Self { code, detail: None, errors: Vec::new(), headers: Vec::new(), is_collision: false }
    }

    /// An unexpected error: logs the whole chain of causes. The caller gets only the request id.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "request failed");
        Self::new(&INTERNAL)
    }

    /// A dependency does not answer: logs the chain of causes, names the dependency to the caller and asks for a retry.
    /// `dependency` is a public name ("postgres").
    pub fn unavailable(dependency: &str, error: &(dyn Error + 'static)) -> Self {
        tracing::warn!(dependency, error = %Chain(error), "dependency unavailable");
        Self::new(&DEPENDENCY_UNAVAILABLE)
            .detail(format!("{dependency} does not answer"))
            .retry_after(RETRY_AFTER)
    }

    /// An error of the database: it is down, a transaction collided, or a statement is wrong.
    pub fn database(error: &pg::Error) -> Self {
        if matches!(error, pg::Error::Collision(_)) {
            Self::collision(error)
        } else if let pg::Error::Unfit(unfit) = error {
            Self::unfit(unfit)
        } else if error.is_unavailable() {
            Self::unavailable("postgres", error)
        } else {
            Self::internal(error)
        }
    }

    /// The process must not work on its database. The pool's guard has logged the reason.
    fn unfit(unfit: &Unfit) -> Self {
        let code = match unfit {
            Unfit::SchemaOutdated(_) => &SCHEMA_OUTDATED,
            Unfit::KeysMissing(_) | Unfit::WrongKeys(_) => &ENCRYPTION_KEY_MISSING,
        };
        Self::new(code).detail(unfit.to_string()).retry_after(RETRY_AFTER)
    }

    /// A stored value cannot be opened. A missing key is 503, because another process may have it; any other cause is 500.
    pub fn sealed(error: &SealError) -> Self {
        let SealError::UnknownKey(_) = error else { return Self::internal(error) };
        tracing::warn!(%error, "stored value cannot be opened: the process lacks its key");
        Self::new(&ENCRYPTION_KEY_MISSING).detail(error.to_string()).retry_after(RETRY_AFTER)
    }

    /// A collision with another transaction. [`Idempotent::run`](crate::Idempotent::run) repeats the work. A request
    /// that collides each time gets `Retry-After`.
    fn collision(error: &pg::Error) -> Self {
        tracing::info!(error = %Chain(error), "collided with another transaction");
        Self {
            is_collision: true,
            ..Self::new(&DEPENDENCY_UNAVAILABLE)
                .detail("other requests are changing the same data")
                .retry_after(COLLISION_OVER)
        }
    }

    /// Whether an immediate repetition may succeed.
    pub(crate) const fn is_collision(&self) -> bool {
        self.is_collision
    }

    /// Describes this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds one error of the content, see [`FieldError`].
    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            pointer: pointer.into(),
            code: code.to_owned(),
            message: message.into(),
        });
        self
    }

    /// Adds errors of the content.
    #[must_use]
    pub(crate) fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Sets `Retry-After` (RFC 9110 §10.2.3) in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.headers.retain(|(name, _)| name != header::RETRY_AFTER);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The code of the problem.
    pub fn code(&self) -> &'static ErrorCode {
        self.code
    }

    /// The complete answer.
    pub(crate) fn render(&self, instance: &str, request_id: &str) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        for (name, value) in &self.headers {
            answer.append_header((name, value));
        }
        answer.content_type(MEDIA_TYPE).json(self.body(instance, request_id))
    }

    /// The answer's body, for examples.
    pub(crate) fn to_json(&self, instance: &str, request_id: &str) -> Value {
        serde_json::to_value(self.body(instance, request_id)).unwrap_or_default()
    }

    fn body<'a>(&'a self, instance: &'a str, request_id: &'a str) -> Body<'a> {
        Body {
            kind: self.code.url(),
            title: self.code.title,
            status: self.code.status,
            code: self.code.code,
            detail: self.detail.as_deref(),
            instance,
            request_id,
            errors: &self.errors,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(self.code.title))
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without `instance` and `request_id`: the server's outermost layer renders it again with both.
    fn error_response(&self) -> HttpResponse {
        self.render("", "")
    }
}
