//! What the server counts.

/// How long requests took: one series for each route template, method and status.
pub(crate) const REQUEST_DURATION: &str = "http_server_request_duration_seconds";

/// Requests refused because they came too often, by what they were counted by: caller or address.
pub(crate) const RATE_LIMITED: &str = "http_server_rate_limited_total";

/// Changes of the server's certificate that were seen: exchanged, or refused.
pub(crate) const CERTIFICATES: &str = "http_server_certificates_total";

/// Says what the figures mean.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        REQUEST_DURATION,
        metrics::Unit::Seconds,
        "Time from a request's head to its answer's, by route template, method and status."
    );
    metrics::describe_counter!(
        RATE_LIMITED,
        "Requests refused because they came too often, by what they were counted by: caller or address."
    );
    metrics::describe_counter!(
        CERTIFICATES,
        "Changes of the server's certificate that were seen, by outcome: exchanged or refused."
    );
}
