//! The process's metrics, in Prometheus' text format.

use std::io;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

pub use metrics_exporter_prometheus::PrometheusHandle;

/// OpenTelemetry's recommended buckets for `http.server.request.duration`, in seconds. They suit all our durations.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A handle that renders the process's metrics. The first call installs the recorder. Measurements before it are lost.
/// A process has one recorder, however many servers it runs.
///
/// # Errors
/// Another recorder is already installed.
pub fn handle() -> io::Result<PrometheusHandle> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE.get_or_init(|| install().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()
}
