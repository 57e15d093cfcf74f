//! Traces: one for everything done because of one request, across services.
//!
//! A span's context travels as W3C Trace Context, in HTTP headers, outbox rows, AMQP headers and events
//! ([`TraceContext`]); spans go to a collector by OTLP ([`Traces`]). Neither may ever hold up the work: what cannot be
//! sent in time is dropped and counted. Figures are counted by the process's one recorder ([`metrics`]).

mod carry;
mod export;
pub mod metrics;
mod queue;
mod settings;

pub use carry::TraceContext;
pub use export::{Error, Traces};
pub use settings::{Sampler, Settings};
pub use tracing_opentelemetry::OpenTelemetrySpanExt as SpanExt;

use opentelemetry::trace::{Status, TraceContextExt};

/// The id of the trace the caller works for, as 32 hexadecimal digits.
pub fn trace_id() -> Option<String> {
    let context = opentelemetry::Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Marks a span as failed; `why` is seen by whoever reads traces and must hold no secret.
pub fn failed(span: &tracing::Span, why: &'static str) {
    span.set_status(Status::error(why));
}
