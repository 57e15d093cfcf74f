//! The span of a request: the caller's trace goes on in it, and what it causes goes on from it.

use actix_web::http::header::HeaderMap;
use telemetry::{SpanExt, TraceContext};
use tracing::Span;

use crate::request_id::RequestId;

/// A span for the log and the trace; probes, asked all the time, are kept out of traces by their target.
pub(crate) fn request_span(
    headers: &HeaderMap,
    id: &RequestId,
    method: &'static str,
    route: &str,
    is_probe: bool,
) -> Span {
    // At error level, or the ids would be lost to warnings where the log's level is above info.
    if is_probe {
        return tracing::error_span!(target: "web::probe", "request", correlation_id = %id, user_id = tracing::field::Empty);
    }
    let span = tracing::error_span!(
        "request",
        correlation_id = %id,
        user_id = tracing::field::Empty,
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
    );
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(caller) = TraceContext::read(header("traceparent"), header("tracestate")) {
        caller.adopt(&span);
    }
    span.set_attribute("http.request.method", method);
    span.set_attribute("http.route", route.to_owned());
    span
}

/// Notes how a request was answered.
pub(crate) fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        telemetry::failed(span, "answered with a server error");
    }
}
