//! The span of a request: it continues the caller's trace, and effects of the request continue it.

use actix_web::http::header::HeaderMap;
use telemetry::{SpanExt, TraceContext};
use tracing::Span;

use crate::request_id::RequestId;

/// A span for the log and the trace. The target of probes, which are frequent, excludes them from traces.
pub(crate) fn request_span(
    headers: &HeaderMap,
    id: &RequestId,
    method: &'static str,
    route: &str,
    is_probe: bool,
) -> Span {
    // At error level, because warnings would lack the ids at log levels above info.
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

/// Records the status of an answer.
pub(crate) fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        telemetry::failed(span, "answered with a server error");
    }
}
