//! Settings of what a process tells about itself: its log and its traces.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use telemetry::Sampler;
use tracing::Level;
use url::Url;

use super::reader::{Absent, Ask, Reader};

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Less important lines are left out.
    pub(crate) level: Level,
    /// For machines or for people.
    pub(crate) format: LogFormat,
    /// Where else the lines go.
    pub(crate) file: Option<LogFile>,
}

/// The shape of a line of the log on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Coloured text.
    Pretty,
}

/// A log in a file, cut when it is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// The file written now; older ones are beside it with `.1`, `.2` … appended.
    pub(crate) path: PathBuf,
    /// Its size at most.
    pub(crate) max_bytes: u64,
    /// Older files kept.
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
            "Less important lines are left out.",
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
            "One JSON object a line, or text for people.",
            |text| match text {
                "json" => Ok(LogFormat::Json),
                "pretty" => Ok(LogFormat::Pretty),
                _ => Err("must be json or pretty".to_owned()),
            },
        );
        // `Level` orders by verbosity: the greater one says more.
        let debug = self.flag("DEBUG", false, "Lowers the log's level to debug.");
        let path =
            self.optional_text("LOG_FILE_PATH", "A file the log is written to as well, as JSON lines.");
        let max_bytes = self.number(
            "LOG_MAX_BYTES",
            5_000_000,
            1_000..=1_000_000_000,
            "Size in bytes at which the log's file is cut.",
        );
        let backups = self.number(
            "LOG_BACKUP_COUNT",
            3,
            1..=100,
            "Older files kept beside the log's: name.1, name.2 …",
        );
        let file = path.map(|path| LogFile { path: path.into(), max_bytes, backups });
        Log { level: if debug { level.max(Level::DEBUG) } else { level }, format, file }
    }

    /// `OTEL_…`; `None` where nobody collects traces.
    pub(crate) fn traces(&mut self, service: &str) -> Option<telemetry::Settings> {
        let ask = |name, kind: &str, meaning, is_secret| Ask {
            name,
            kind: kind.to_owned(),
            absent: Absent::Optional,
            meaning,
            is_secret,
        };
        let meaning = "Where traces go by OTLP (http/protobuf), e.g. http://collector:4318; off when absent.";
        let endpoint =
            self.ask(ask("OTEL_EXPORTER_OTLP_ENDPOINT", "http(s) address", meaning, false), collector);
        let meaning = "Sent with every export, e.g. a credential.";
        let headers =
            self.ask(ask("OTEL_EXPORTER_OTLP_HEADERS", "name=value,name=value…", meaning, true), pairs);
        let name =
            self.optional_text("OTEL_SERVICE_NAME", "The service's name in traces, where its own is not it.");
        let meaning = "What else is said of this process, e.g. deployment.environment.name=prod.";
        let given =
            self.ask(ask("OTEL_RESOURCE_ATTRIBUTES", "name=value,name=value…", meaning, false), pairs);
        let sampler = self.parsed(
            "OTEL_TRACES_SAMPLER",
            "always_on, always_off or traceidratio, or parentbased_ and one of them",
            Sampler::default(),
            "Which traces are kept.",
            |text| text.parse::<Sampler>().map_err(str::to_owned),
        );
        let ratio =
            self.parsed("OTEL_TRACES_SAMPLER_ARG", "0 to 1", 1.0, "The share traceidratio keeps.", |text| {
                let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| "must be a number from 0 to 1".to_owned())
            });
        let queue = self.number(
            "OTEL_BSP_MAX_QUEUE_SIZE",
            2048,
            1..=1_000_000,
            "Spans that wait to be sent, at most; more are dropped and counted.",
        );
        let delay = self.number(
            "OTEL_BSP_SCHEDULE_DELAY",
            5000,
            10..=600_000,
            "Milliseconds for which spans are collected before they are sent.",
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
            // What is said later wins.
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

/// OpenTelemetry's lists: `name=value` with commas between, values percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let rule = "must be name=value pairs with commas between, values percent-encoded";
    text.split(',')
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().to_owned(), value.into_owned())).filter(|(name, _)| !name.is_empty())
        })
        .collect::<Option<_>>()
        .ok_or_else(|| rule.to_owned())
}
