//! One trace from a change through its event to the consumers' effects.
//!
//! The context is in the event (CloudEvents' distributed tracing extension) and, for readers that do not parse bodies,
//! in the headers of the outbox row and of the message. A batch serves many traces at once: its span is linked to each,
//! and each trace gets a span of the same period. A batch of one event continues its trace.

use std::borrow::Cow;

use domain::events::Envelope;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value};
use telemetry::{SpanExt, TraceContext};
use tracing::Span;

/// Adds the caller's trace to events that have none.
pub(crate) fn of_the_caller(events: &[Envelope]) -> Cow<'_, [Envelope]> {
    let Some(context) = TraceContext::current() else { return Cow::Borrowed(events) };
    let mut events = events.to_vec();
    for event in events.iter_mut().filter(|event| event.traceparent.is_none()) {
        set(event, Some(&context));
    }
    Cow::Owned(events)
}

fn set(event: &mut Envelope, context: Option<&TraceContext>) {
    event.traceparent = context.map(|context| context.traceparent().to_owned());
    event.tracestate = context.and_then(TraceContext::tracestate).map(str::to_owned);
}

/// The headers of an event's outbox row and message.
pub(crate) fn headers(event: &Envelope) -> Value {
    let named = [("traceparent", &event.traceparent), ("tracestate", &event.tracestate)];
    let present =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
    Value::Object(present.collect::<Map<_, _>>())
}

/// The trace of a message: from its headers, otherwise from the event. Writes the trace into the event, and removes an
/// invalid one.
pub(crate) fn of_message(headers: Option<&FieldTable>, event: &mut Envelope) -> Option<TraceContext> {
    let context = headers
        .and_then(of_headers)
        .or_else(|| TraceContext::read(event.traceparent.as_deref(), event.tracestate.as_deref()));
    set(event, context.as_ref());
    context
}

/// The trace in a message's headers.
pub(crate) fn of_headers(headers: &FieldTable) -> Option<TraceContext> {
    let header = |name| text(headers.inner().get(name)?);
    TraceContext::read(header("traceparent"), header("tracestate"))
}

/// The text of a value, in any type that the sender's library uses.
fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        AMQPValue::ByteArray(bytes) => str::from_utf8(bytes.as_slice()).ok(),
        _ => None,
    }
}

/// The spans of a batch. They end when the value is dropped.
pub(crate) struct Work {
    /// The span of the handler.
    pub(crate) span: Span,
    _each: Vec<Span>,
}

impl Work {
    pub(crate) fn begin(queue: &str, traces: &[TraceContext], messages: usize) -> Self {
        let span = span(queue);
        if let ([only], 1) = (traces, messages) {
            only.adopt(&span);
            return Self { span, _each: Vec::new() };
        }
        span.set_attribute("messaging.batch.message_count", i64::try_from(messages).unwrap_or(i64::MAX));
        for context in traces {
            context.link(&span);
        }
        let sampled = traces.iter().filter(|context| context.is_sampled());
        let each = sampled.map(|context| {
            let span = self::span(queue);
            context.adopt(&span);
            span
        });
        Self { _each: each.collect(), span }
    }
}

/// A span by OpenTelemetry's conventions for messaging.
fn span(queue: &str) -> Span {
    let name = format!("process {queue}");
    let span = tracing::error_span!(parent: None, "process", otel.name = name, otel.kind = "consumer");
    span.set_attribute("messaging.system", "rabbitmq");
    span.set_attribute("messaging.operation.type", "process");
    span.set_attribute("messaging.destination.name", queue.to_owned());
    span
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::events::Envelope;
    use lapin::types::{AMQPValue, ByteArray, FieldTable};

    use super::of_message;

    #[test]
    fn a_trace_is_read_from_strings_and_bytes_into_the_event() {
        let golden = include_bytes!("../../domain/tests/golden/order.created.json");
        let id = |digit: char| format!("00-{}-00f067aa0ba902b7-01", digit.to_string().repeat(32));
        let values = [
            AMQPValue::LongString(id('1').into()),
            AMQPValue::ShortString(id('1').into()),
            AMQPValue::ByteArray(ByteArray::from(id('1').into_bytes())),
        ];
        for value in values {
            let mut event = Envelope::parse(golden).unwrap();
            event.traceparent = Some(id('2'));
            let mut headers = FieldTable::default();
            headers.insert("traceparent".into(), value);
            assert_eq!(of_message(Some(&headers), &mut event).unwrap().traceparent(), id('1'));
            assert_eq!(event.traceparent, Some(id('1')));

            headers.insert("traceparent".into(), AMQPValue::Boolean(true));
            event.traceparent = Some(id('2'));
            assert_eq!(of_message(Some(&headers), &mut event).unwrap().traceparent(), id('2'));

            event.traceparent = Some("\0".repeat(9000));
            assert_eq!(of_message(Some(&headers), &mut event), None);
            assert_eq!(event.traceparent, None, "an invalid trace is not stored");
        }
    }
}
