//! Settings of the log and the traces.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use telemetry::Sampler;
use tracing::Level;
use url::Url;

use super::reader::{Absent, Declaration, Reader};

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Lines of a lower level are omitted.
    pub(crate) level: Level,
    /// Format of the lines on stdout.
    pub(crate) format: LogFormat,
    /// A file that receives the lines too.
    pub(crate) file: Option<LogFile>,
}

/// Format of a log line on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One JSON object per line, for log collectors.
    Json,
    /// Coloured text, for people.
    Pretty,
}

/// A log file that is rotated at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// The current file. Older ones have `.1`, `.2` … appended to its name.
    pub(crate) path: PathBuf,
    /// Maximum size in bytes.
    pub(crate) max_bytes: u64,
    /// How many older files are kept.
    pub(crate) backups: u32,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Pretty => "pretty",
        })
    }
}

impl Reader {
    /// `LOG_…` and `DEBUG`.
    pub(crate) fn log(&mut self) -> Log {
        let level = self.parsed(
            "LOG_LEVEL",
            "trace, debug, info, warning, error or critical",
            Level::INFO,
            "Lines of a lower level are omitted.",
            |text| match text.to_ascii_lowercase().as_str() {
                "trace" => Ok(Level::TRACE),
                "debug" => Ok(Level::DEBUG),
                "info" => Ok(Level::INFO),
                "warn" | "warning" => Ok(Level::WARN),
                "error" | "critical" => Ok(Level::ERROR),
                _ => Err("must be trace, debug, info, warning, error or critical".to_owned()),
            },
        );
        let format = self.parsed(
            "LOG_FORMAT",
            "json or pretty",
            LogFormat::Json,
            "One JSON object per line, or text for people.",
            |text| match text {
                "json" => Ok(LogFormat::Json),
                "pretty" => Ok(LogFormat::Pretty),
                _ => Err("must be json or pretty".to_owned()),
            },
        );
        // `Level` orders by verbosity: the greater level is the more verbose one.
        let debug = self.flag("DEBUG", false, "Lowers the log level to debug.");
        let path = self.optional_text("LOG_FILE_PATH", "A file that receives the log too, as JSON lines.");
        let max_bytes = self.number(
            "LOG_MAX_BYTES",
            5_000_000,
            1_000..=1_000_000_000,
            "Size in bytes at which the log file is rotated.",
        );
        let backups = self.number(
            "LOG_BACKUP_COUNT",
            3,
            1..=100,
            "How many rotated log files are kept: name.1, name.2 …",
        );
        let file = path.map(|path| LogFile { path: path.into(), max_bytes, backups });
        Log { level: if debug { level.max(Level::DEBUG) } else { level }, format, file }
    }

    /// `OTEL_…`. `None` without an endpoint.
    pub(crate) fn traces(&mut self, service: &str) -> Option<telemetry::Settings> {
        let declaration = |name, kind: &str, meaning, is_secret| Declaration {
            name,
            kind: kind.to_owned(),
            absent: Absent::Optional,
            meaning,
            is_secret,
        };
        let meaning =
            "Endpoint of traces, by OTLP (http/protobuf), e.g. http://collector:4318; no traces when absent.";
        let endpoint = self.declare(
            declaration("OTEL_EXPORTER_OTLP_ENDPOINT", "http(s) address", meaning, false),
            collector,
        );
        let meaning = "Headers of every export, e.g. a credential.";
        let headers = self.declare(
            declaration("OTEL_EXPORTER_OTLP_HEADERS", "name=value,name=value…", meaning, true),
            pairs,
        );
        let name =
            self.optional_text("OTEL_SERVICE_NAME", "Name of the service in traces, instead of its own.");
        let meaning = "Further attributes of this process, e.g. deployment.environment.name=prod.";
        let given = self.declare(
            declaration("OTEL_RESOURCE_ATTRIBUTES", "name=value,name=value…", meaning, false),
            pairs,
        );
        let sampler = self.parsed(
            "OTEL_TRACES_SAMPLER",
            "always_on, always_off or traceidratio, or parentbased_ and one of them",
            Sampler::default(),
            "Which traces are sampled.",
            |text| text.parse::<Sampler>().map_err(str::to_owned),
        );
        let ratio = self.parsed(
            "OTEL_TRACES_SAMPLER_ARG",
            "0 to 1",
            1.0,
            "The share of traces that traceidratio samples.",
            |text| {
                let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| "must be a number from 0 to 1".to_owned())
            },
        );
        let queue = self.number(
            "OTEL_BSP_MAX_QUEUE_SIZE",
            2048,
            1..=1_000_000,
            "Maximum number of spans that wait to be sent; further ones are dropped and counted.",
        );
        let delay = self.number(
            "OTEL_BSP_SCHEDULE_DELAY",
            5000,
            10..=600_000,
            "Milliseconds between exports of spans.",
        );

        let given = given.unwrap_or_default();
        let named = given.iter().find(|(key, _)| key == "service.name").map(|(_, name)| name.clone());
        let own = [("service.namespace", "zaplecze"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(telemetry::Settings {
            endpoint: endpoint?,
            headers: headers
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect::<Vec<(_, SecretString)>>(),
            service_name: name.or(named).unwrap_or_else(|| service.to_owned()),
            // A later pair replaces an earlier one.
            attributes: own.into_iter().chain(given).collect(),
            sampler: sampler.with_ratio(ratio),
            queue,
            delay: Duration::from_millis(delay),
        })
    }
}

fn collector(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.password().is_none())
        .ok_or_else(|| "must be an http or https address without a password".to_owned())
}

/// Parses OpenTelemetry's lists: `name=value` separated by commas, values percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let rule = "must be name=value pairs separated by commas, values percent-encoded";
    text.split(',')
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().to_owned(), value.into_owned())).filter(|(name, _)| !name.is_empty())
        })
        .collect::<Option<_>>()
        .ok_or_else(|| rule.to_owned())
}
