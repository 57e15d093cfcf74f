//! Traces: one for all effects of a request, across services.
//!
//! A span's context is passed as W3C Trace Context, in HTTP headers, outbox rows, AMQP headers and events
//! ([`TraceContext`]). Spans are exported to a collector by OTLP ([`Traces`]). Neither blocks the work: spans that
//! cannot be exported in time are dropped and counted. Metrics are counted by the process's one recorder ([`metrics`]).

mod context;
mod export;
pub mod metrics;
mod queue;
mod settings;

pub use context::TraceContext;
pub use export::{Error, Traces};
pub use settings::{Sampler, Settings};
pub use tracing_opentelemetry::OpenTelemetrySpanExt as SpanExt;

use opentelemetry::trace::{Status, TraceContextExt};

/// The id of the caller's trace, as 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    let context = opentelemetry::Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Marks a span as failed. `why` is visible in the trace and must not contain a secret.
pub fn failed(span: &tracing::Span, why: &'static str) {
    span.set_status(Status::error(why));
}
