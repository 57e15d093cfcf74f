//! Settings of the export, with the names of OpenTelemetry's environment variables.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler as SdkSampler;
use secrecy::SecretString;
use url::Url;

/// Endpoint, attributes and sampling of traces.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector's base address (`OTEL_EXPORTER_OTLP_ENDPOINT`); `v1/traces` is appended.
    pub endpoint: Url,
    /// Headers of every export, e.g. a credential: name and value.
    pub headers: Vec<(String, SecretString)>,
    /// Name of the service in traces.
    pub service_name: String,
    /// Further attributes of this process: name and value.
    pub attributes: Vec<(String, String)>,
    /// Which traces are sampled.
    pub sampler: Sampler,
    /// Maximum number of spans that wait to be exported. Further ones are dropped and counted.
    pub queue: usize,
    /// Interval between exports.
    pub delay: Duration,
}

/// Which traces are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision has precedence.
    parent_based: bool,
    /// The sampled share of traces without a caller's decision.
    ratio: f64,
    needs_ratio: bool,
}

impl Sampler {
    /// Samples nothing: contexts are passed on, and no spans are recorded.
    pub(crate) const NONE: Self = Self { parent_based: true, ratio: 0.0, needs_ratio: false };

    /// Applies `OTEL_TRACES_SAMPLER_ARG`, if this sampler has an argument.
    #[must_use]
    pub fn with_ratio(self, ratio: f64) -> Self {
        if self.needs_ratio { Self { ratio, ..self } } else { self }
    }

    pub(crate) fn build(self) -> SdkSampler {
        let root = if self.ratio >= 1.0 {
            SdkSampler::AlwaysOn
        } else if self.ratio <= 0.0 {
            SdkSampler::AlwaysOff
        } else {
            SdkSampler::TraceIdRatioBased(self.ratio)
        };
        if self.parent_based { SdkSampler::ParentBased(Box::new(root)) } else { root }
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0, needs_ratio: false }
    }
}

impl FromStr for Sampler {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parent_based = text.starts_with("parentbased_");
        let (ratio, needs_ratio) = match text.strip_prefix("parentbased_").unwrap_or(text) {
            "always_on" => (1.0, false),
            "always_off" => (0.0, false),
            "traceidratio" => (1.0, true),
            _ => {
                return Err("must be always_on, always_off or traceidratio, or parentbased_ and one of them");
            }
        };
        Ok(Self { parent_based, ratio, needs_ratio })
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.parent_based { "parentbased_" } else { "" };
        let name = match (self.needs_ratio, self.ratio > 0.0) {
            (true, _) => "traceidratio",
            (false, true) => "always_on",
            (false, false) => "always_off",
        };
        write!(f, "{prefix}{name}")
    }
}
