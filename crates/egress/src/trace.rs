//! The caller's trace, told to whoever is asked.

use reqwest::RequestBuilder;
use telemetry::TraceContext;

/// Adds the trace of the span the caller is in, if there is any, so that the other side's work becomes part of it.
pub fn traced(request: RequestBuilder) -> RequestBuilder {
    let context = TraceContext::current();
    let headers = context.iter().flat_map(TraceContext::headers);
    headers.fold(request, |request, (name, value)| request.header(name, value))
}
