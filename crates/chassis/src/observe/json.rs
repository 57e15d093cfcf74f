//! The log for machines: one JSON object per line.
//!
//! Keys: `timestamp` (RFC 3339, UTC), `level` (Python's names, e.g. `WARNING`), `logger`, `message`, `correlation_id`
//! and `user_id` when the event or an enclosing span has them, and `extra` with all other fields and the trace's id.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{count_dropped, mask};

/// Writes events as JSON lines.
pub(super) struct JsonLines {
    writers: Vec<NonBlocking>,
}

/// A line, with its keys in this order.
#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    logger: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Value>,
    extra: Map<String, Value>,
}

impl JsonLines {
    /// A log that writes to each of these.
    pub(super) const fn over(writers: Vec<NonBlocking>) -> Self {
        Self { writers }
    }
}

/// The fields of a span that its events inherit.
#[derive(Default)]
struct Fields {
    message: String,
    /// The target of a record of the `log` crate.
    target: Option<String>,
    values: Map<String, Value>,
}

impl<S> Layer<S> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
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
        // From the outermost span inwards: an inner value replaces an outer one.
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.values.extend(outer.values.clone());
            }
        }
        event.record(&mut fields);

        let Fields { message, target, mut values } = fields;
        let (correlation_id, user_id) = (values.remove("correlation_id"), values.remove("user_id"));
        if let Some(trace_id) = telemetry::trace_id() {
            values.insert("trace_id".to_owned(), trace_id.into());
        }
        let line = Line {
            timestamp: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            level: shown(*event.metadata().level()),
            logger: target.unwrap_or_else(|| event.metadata().target().to_owned()),
            message,
            correlation_id,
            user_id,
            extra: values,
        };
        let Ok(mut line) = serde_json::to_vec(&line) else { return };
        line.push(b'\n');
        for writer in &self.writers {
            // One write per line, so that lines of several threads do not mix. A line without room in the queue is
            // counted.
            let _always_taken = writer.clone().write_all(&line);
        }
        count_dropped(&self.writers);
    }
}

/// The level by Python's names, which log collectors know.
fn shown(level: Level) -> &'static str {
    match level {
        Level::WARN => "WARNING",
        other => other.as_str(),
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // Only for the trace.
        if field.name().starts_with("otel.") {
            return;
        }
        let value = if mask::is_secret(field.name()) { mask::MASK.into() } else { value.into() };
        self.values.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = mask::text(value).into_owned(),
            "log.target" => self.target = Some(value.to_owned()),
            "log.module_path" | "log.file" => {}
            _ => self.put(field, mask::text(value).into_owned()),
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
        // Writing to a String cannot fail. A failing `Debug` leaves its output so far.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}
