//! Metrics of the HTTP server.

/// Histogram of request durations: one series per route template, method and status.
pub(crate) const REQUEST_DURATION: &str = "http_server_request_duration_seconds";

/// Counter of requests that exceeded a rate limit, by the kind of the limit: caller or address.
pub(crate) const RATE_LIMITED: &str = "http_server_rate_limited_total";

/// Counter of changed server certificates, by outcome: exchanged or refused.
pub(crate) const CERTIFICATES: &str = "http_server_certificates_total";

/// Registers the metrics' descriptions.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        REQUEST_DURATION,
        metrics::Unit::Seconds,
        "Seconds from the head of a request to the head of its answer, by route template, method and status."
    );
    metrics::describe_counter!(
        RATE_LIMITED,
        "Requests that exceeded a rate limit, by the kind of the limit: caller or address."
    );
    metrics::describe_counter!(
        CERTIFICATES,
        "Changes of the server certificate, by outcome: exchanged or refused."
    );
}
