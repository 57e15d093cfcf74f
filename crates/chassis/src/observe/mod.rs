//! The log and the traces of a process.
//!
//! Invariants: logging does not block the work, because lines and spans wait in bounded queues; further ones are
//! dropped and counted. Queued lines and spans are written at the end of the process. A killed process loses them.

mod file;
mod json;
mod mask;
mod pretty;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use telemetry::Traces;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::file::RotatedFile;
use self::json::JsonLines;
use crate::config::{Log, LogFormat, Mistake};

/// Targets that may log at the configured level. All others are limited to warnings: at lower levels HTTP and database
/// libraries print headers and parameters, and secrets with them.
const OURS: [&str; 11] = [
    "audit",
    "chassis",
    "web",
    "pg",
    "messaging",
    "tasks",
    "egress",
    "alerts",
    "clients",
    "domain",
    "telemetry",
];

/// Maximum number of lines that wait to be written.
const WAITING_LINES: usize = 16_384;

/// Panics of any thread, caught or not.
pub(crate) const PANICS: &str = "panics_total";

/// Time limit for the last export of traces.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Writes all queued lines and spans when it is dropped. Drop it last: later lines are lost.
pub(crate) struct Observing {
    traces: Option<Traces>,
    _writers: Vec<WorkerGuard>,
}

impl Drop for Observing {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            traces.end(LAST_SPANS);
        }
    }
}

/// Starts the log and the traces of a service of this name, and logs panics. A second call in a process has no effect.
///
/// # Errors
/// A setting cannot be used: a file that cannot be written, an invalid endpoint.
pub(crate) fn init(
    log: Log,
    traces: Option<telemetry::Settings>,
    service: &str,
) -> Result<Observing, Mistake> {
    let wrong = |name: &str, text: String| Mistake { name: name.to_owned(), text };
    let traces = Traces::start(traces)
        .map_err(|error| wrong("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{:#}", anyhow::Error::from(error))))?;
    let mut guards = Vec::new();
    let mut background = |name, writer: Box<dyn Write + Send>| {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name(name);
        let (writer, guard) = builder.finish(writer);
        guards.push(guard);
        writer
    };
    let stdout = background("log", Box::new(io::stdout()));
    let mut json = Vec::new();
    if let Some(settings) = log.file {
        let shown = settings.path.display().to_string();
        let file = RotatedFile::open(settings)
            .map_err(|error| wrong("LOG_FILE_PATH", format!("cannot be written, is {shown:?}: {error}")))?;
        json.push(background("log-file", Box::new(file)));
    }
    let pretty = match log.format {
        LogFormat::Json => {
            json.insert(0, stdout);
            None
        }
        LogFormat::Pretty => {
            let colours = io::stdout().is_terminal();
            Some(fmt::layer().fmt_fields(pretty::fields()).with_ansi(colours).with_writer(stdout))
        }
    };

    let level = LevelFilter::from_level(log.level);
    let own = service.replace('-', "_");
    let ours = |level: LevelFilter| {
        // Audit lines are logged at every level.
        let audit = level.max(LevelFilter::INFO);
        Targets::new()
            .with_targets(OURS.map(|target| (target, level)))
            .with_target(&*own, level)
            .with_target("audit", audit)
    };
    // lapin logs whole returned messages, with their data. The relay logs what is necessary.
    let logged = ours(level)
        .with_default(LevelFilter::WARN.min(level))
        .with_target("lapin::returned_messages", LevelFilter::OFF);
    // Spans at every level of the log. No events: those belong to the log.
    let exported = ours(LevelFilter::INFO).with_target("web::probe", LevelFilter::OFF);
    let exported = exported.and(filter_fn(|what: &tracing::Metadata<'_>| what.is_span()));
    // An error means that a log is already installed.
    let is_first = tracing_subscriber::registry()
        .with(traces.layer().with_filter(exported))
        .with(pretty.with_filter(logged.clone()))
        .with(JsonLines::over(json).with_filter(logged))
        .try_init()
        .is_ok();
    if is_first {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no text");
            tracing::error!(critical = true, place, panic = text, "panic");
            metrics::counter!(PANICS).increment(1);
        }));
    }
    Ok(Observing { traces: Some(traces), _writers: guards })
}

/// Counts the dropped lines of all writers.
fn count_dropped(writers: &[NonBlocking]) {
    let dropped: usize = writers.iter().map(|writer| writer.error_counter().dropped_lines()).sum();
    if dropped > 0 {
        metrics::counter!("log_lines_dropped_total").absolute(u64::try_from(dropped).unwrap_or(u64::MAX));
    }
}
