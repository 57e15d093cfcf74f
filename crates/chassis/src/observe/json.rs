//! The log: one JSON object a line on stdout, or text for people.
//!
//! Keys: `timestamp` (RFC 3339, UTC), `level`, `logger`, `message`, `correlation_id` and `user_id` where the
//! event or a span around it knows them, everything else in `extra`.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Who may log at the level that was asked for. All others are held at warnings: HTTP and database
/// libraries print headers and parameters, and with them secrets, when they are asked for details.
const OURS: [&str; 10] =
    ["audit", "chassis", "web", "pg", "messaging", "tasks", "egress", "alerts", "clients", "domain"];

/// Starts the log of the service of this name, and sends panics there too. The second call in a process
/// changes nothing.
pub(crate) fn init(log: Log, service: &str) {
    let level = LevelFilter::from_level(log.level);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        // It prints whole messages, orders and all; the relay says what there is to say.
        .with_target("lapin::returned_messages", LevelFilter::OFF)
        .with_targets(OURS.map(|target| (target, level)))
        .with_target(service.replace('-', "_"), level);
    let layer = match log.format {
        LogFormat::Json => JsonLines { make_writer: io::stdout }.boxed(),
        LogFormat::Pretty => tracing_subscriber::fmt::layer().with_ansi(io::stdout().is_terminal()).boxed(),
    };
    // An error means that a log is there already.
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let text = panic.payload_as_str().unwrap_or("no text");
            tracing::error!(place, panic = text, "panic");
        }));
    }
}

/// Writes events as lines of JSON.
struct JsonLines<W> {
    make_writer: W,
}

/// The fields a span carries for the events inside it.
#[derive(Default)]
struct Fields {
    message: String,
    /// The target of a record that came from the `log` crate.
    target: Option<String>,
    values: Map<String, Value>,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // From the outermost span inwards: what is nearer to the event wins.
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.values.extend(outer.values.clone());
            }
        }
        event.record(&mut fields);

        let Fields { message, target, mut values } = fields;
        let mut line = Map::new();
        line.insert(
            "timestamp".to_owned(),
            OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default().into(),
        );
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert(
            "logger".to_owned(),
            target.unwrap_or_else(|| event.metadata().target().to_owned()).into(),
        );
        line.insert("message".to_owned(), message.into());
        for key in ["correlation_id", "user_id"] {
            if let Some(value) = values.remove(key) {
                line.insert(key.to_owned(), value);
            }
        }
        line.insert("extra".to_owned(), values.into());
        // One write for one line, so that lines of several threads do not mix. A log nobody reads any more
        // (a closed pipe) must not stop the work.
        let _ = self.make_writer.make_writer().write_all(format!("{}\n", json!(line)).as_bytes());
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.values.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "log.target" => self.target = Some(value.to_owned()),
            "log.module_path" | "log.file" => {}
            _ => self.put(field, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() != "log.line" {
            self.put(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String cannot fail; a Debug that does leaves what it wrote.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}
