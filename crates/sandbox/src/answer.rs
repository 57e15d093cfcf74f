//! Answers in Allegro's formats.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde_json::{Value, json};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.allegro.public.v1+json";

fn builder(status: StatusCode, content_type: &str) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder
        .insert_header((CONTENT_TYPE, content_type))
        .insert_header((CACHE_CONTROL, "no-cache, no-store, max-age=0, must-revalidate"));
    builder
}

/// 200 of an API resource.
pub(crate) fn resource(body: impl Into<Bytes>) -> HttpResponse {
    builder(StatusCode::OK, MEDIA_TYPE).body(body.into())
}

/// 201 of an API resource.
pub(crate) fn created(body: &Value) -> HttpResponse {
    builder(StatusCode::CREATED, MEDIA_TYPE).body(body.to_string())
}

/// 204 of an API resource.
pub(crate) fn no_content() -> HttpResponse {
    builder(StatusCode::NO_CONTENT, MEDIA_TYPE).finish()
}

/// Plain JSON, the format of the OAuth endpoints and the admin interface.
pub(crate) fn plain(status: StatusCode, body: &Value) -> HttpResponse {
    builder(status, "application/json").body(body.to_string())
}

/// The error format of API resources.
pub(crate) fn error(status: StatusCode, code: &str, message: &str, path: Option<&str>) -> HttpResponse {
    let body = json!({ "errors": [{
        "code": code, "message": message, "details": null, "path": path, "userMessage": message, "metadata": {},
    }] });
    builder(status, "application/json").body(body.to_string())
}

/// 422 with the rule and the path.
pub(crate) fn invalid(message: &str, path: &str) -> HttpResponse {
    error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", message, Some(path))
}

/// 429 with the text of 2021. No header states a delay.
pub(crate) fn too_many() -> HttpResponse {
    let text = "An error has occurred";
    error(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceedException", text, None)
}

/// The error format of OAuth, and of 401 everywhere.
pub(crate) fn oauth_error(status: StatusCode, code: &str, description: &str) -> HttpResponse {
    plain(status, &json!({ "error": code, "error_description": description }))
}
