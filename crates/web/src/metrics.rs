//! The process's metrics, in Prometheus' text format.

use std::io;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How long requests took: one series for each route template, method and status.
pub(crate) const REQUEST_DURATION: &str = "http_server_request_duration_seconds";

/// Requests refused because they came too often, by what they were counted by: caller or address.
pub(crate) const RATE_LIMITED: &str = "http_server_rate_limited_total";

/// Changes of the server's certificate that were seen: exchanged, or refused.
pub(crate) const CERTIFICATES: &str = "http_server_certificates_total";

/// OpenTelemetry's recommended buckets for `http.server.request.duration`, in seconds; good for any
/// duration of ours.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Reads the process's metrics. The first call installs the recorder, which counts from then on; a
/// process has one recorder, however many servers it runs.
///
/// # Errors
/// Another recorder was installed before.
pub fn handle() -> io::Result<PrometheusHandle> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE.get_or_init(|| install().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
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
    Ok(handle)
}
