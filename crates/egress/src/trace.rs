//! Passes the caller's trace to the called service.

use reqwest::RequestBuilder;
use telemetry::TraceContext;

/// Adds the trace of the caller's span to a request, if there is one, so that the called service continues it.
pub fn traced(request: RequestBuilder) -> RequestBuilder {
    let context = TraceContext::current();
    let headers = context.iter().flat_map(TraceContext::headers);
    headers.fold(request, |request, (name, value)| request.header(name, value))
}
