//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): passes a trace from one process to the next.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Names of HTTP headers, message headers and CloudEvents extensions.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The length of `tracestate` that senders must pass on (§3.3.1.5). A longer one is dropped.
const MAX_TRACESTATE: usize = 512;

/// A position in a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext {
    span: SpanContext,
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// The context of the caller's span. `None` outside of any span.
    pub fn current() -> Option<Self> {
        Self::of(&Context::current())
    }

    /// Parses the context of another process. `None` when it is absent or malformed, which begins a new trace (§4.3). A
    /// malformed `tracestate` is dropped.
    pub fn read(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let mut fields = HashMap::from([(TRACEPARENT.to_owned(), traceparent?.to_owned())]);
        if let Some(state) = tracestate.filter(|state| (1..=MAX_TRACESTATE).contains(&state.len())) {
            fields.insert(TRACESTATE.to_owned(), state.to_owned());
        }
        Self::of(&TraceContextPropagator::new().extract_with_context(&Context::new(), &fields))
    }

    fn of(context: &Context) -> Option<Self> {
        let span = context.span().span_context().clone();
        let mut fields = HashMap::new();
        TraceContextPropagator::new().inject_context(context, &mut fields);
        let traceparent = fields.remove(TRACEPARENT)?;
        let tracestate = fields.remove(TRACESTATE).filter(|state| !state.is_empty());
        Some(Self { span, traceparent, tracestate })
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The header `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The headers to pass on, as name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.tracestate.as_deref().map(|state| (TRACESTATE, state));
        [(TRACEPARENT, self.traceparent.as_str())].into_iter().chain(state)
    }

    /// Whether the trace is sampled.
    pub fn is_sampled(&self) -> bool {
        self.span.is_sampled()
    }

    /// Makes a span that was not entered yet a child of this context.
    pub fn adopt(&self, child: &Span) {
        // Without a span exporter there is no parent.
        let _no_layer = child.set_parent(Context::new().with_remote_span_context(self.span.clone()));
    }

    /// Links a span to this context, in addition to its parent.
    pub fn link(&self, span: &Span) {
        span.add_link(self.span.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_valid_context_is_passed_on() {
        let read = |parent, state| TraceContext::read(Some(parent), state);
        let context = read(PARENT, Some("congo=t61rcWkgMzE,rojo=1"));
        let headers: Vec<_> = context.iter().flat_map(TraceContext::headers).collect();
        assert_eq!(headers, [("traceparent", PARENT), ("tracestate", "congo=t61rcWkgMzE,rojo=1")]);

        let long = format!("a={}", "x".repeat(511));
        for state in ["", "no equals sign", &long] {
            assert_eq!(read(PARENT, Some(state)).and_then(|it| it.tracestate), None, "{state}");
        }
        let zeroes = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for malformed in ["", "00", "zażółć", &PARENT.replace('4', "G"), &zeroes, &PARENT.to_uppercase()]
        {
            assert_eq!(read(malformed, None), None, "{malformed}");
        }
        assert_eq!(TraceContext::read(None, Some("a=b")), None);
    }
}
