//! The properties of a copy: of a message that goes to a retry queue, to the dead queue, or back from there.
//!
//! A copy keeps the event's id and type, the content type, the timestamp, the trace and our own headers. Other
//! properties may act on the copy (`expiration` deletes it, a foreign `user_id` makes the broker refuse it, `CC`
//! multiplies it) or be too large for a frame. They are recorded for operators in one header.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

use crate::{headers, trace};

/// The publisher's other properties: a JSON object as text.
pub(crate) const ORIGINAL: &str = "x-zaplecze-original";
/// Persistent (AMQP 0-9-1 §1.8, basic properties).
pub(crate) const PERSISTENT: u8 = 2;

/// Maximum length of [`ORIGINAL`], so that all headers together fit a frame of 8,192 bytes, the smallest that RabbitMQ
/// 4.1 accepts.
const MAX_ORIGINAL_BYTES: usize = 2048;
/// The number of characters recorded of each property.
const MAX_VALUE_CHARS: usize = 200;
/// The depth to which a header's tables and lists are recorded; RabbitMQ accepts any depth.
const MAX_DEPTH: usize = 4;
/// Replaces the part of a value that was cut.
const CUT: &str = "…";
/// Room for the JSON around the properties: braces, `"headers":{},` and `"left_out":65536`.
const FRAME_BYTES: usize = 64;

/// The headers RabbitMQ writes by itself.
const OF_THE_BROKER: [&str; 9] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
    "x-acquired-count",
];

/// The properties and the headers of a copy of a message; the caller adds the reason for the copy to the headers.
pub(crate) fn of_copy(received: &BasicProperties) -> (BasicProperties, FieldTable) {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(id) = received.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    if let Some(kind) = received.kind() {
        properties = properties.with_type(kind.clone());
    }
    if let Some(content_type) = received.content_type() {
        properties = properties.with_content_type(content_type.clone());
    }
    if let Some(timestamp) = received.timestamp() {
        properties = properties.with_timestamp(*timestamp);
    }
    let mut written = FieldTable::default();
    if let Some(headers) = received.headers() {
        for (name, value) in trace::of_headers(headers).iter().flat_map(telemetry::TraceContext::headers) {
            headers::set_text(&mut written, name, value);
        }
        match headers::number(headers, headers::REQUEUED) {
            0 => {}
            requeued => headers::set_number(&mut written, headers::REQUEUED, requeued),
        }
    }
    let original = original(received);
    if !original.is_empty() {
        headers::set_text(&mut written, ORIGINAL, &Value::Object(original).to_string());
    }
    (properties, written)
}

/// The publisher's properties that a copy does not keep: read from [`ORIGINAL`] if the message has it, otherwise from the
/// message. At most [`MAX_ORIGINAL_BYTES`] of JSON; `left_out` counts the omitted properties.
pub(crate) fn original(received: &BasicProperties) -> Map<String, Value> {
    written_down(received).unwrap_or_else(|| {
        let mut room = Room { bytes: MAX_ORIGINAL_BYTES - FRAME_BYTES, left_out: 0 };
        let mut found = room.admit(properties(received));
        let headers = room.admit(foreign_headers(received));
        if !headers.is_empty() {
            found.insert("headers".to_owned(), Value::Object(headers));
        }
        if room.left_out > 0 {
            found.insert("left_out".to_owned(), room.left_out.into());
        }
        found
    })
}

/// A header's value as JSON; of each text at most `chars` characters.
pub(crate) fn shown(value: &AMQPValue, chars: usize) -> Value {
    shown_at(value, chars, 0)
}

/// The recorded properties. `None` when they are absent, or longer than those that we write.
fn written_down(received: &BasicProperties) -> Option<Map<String, Value>> {
    let text = headers::text(received.headers().as_ref()?, ORIGINAL)?;
    if text.len() > MAX_ORIGINAL_BYTES { None } else { serde_json::from_str(&text).ok() }
}

/// Number of bytes left for recorded properties.
struct Room {
    bytes: usize,
    left_out: usize,
}

impl Room {
    /// The values that fit, with their names.
    fn admit(&mut self, values: BTreeMap<String, Value>) -> Map<String, Value> {
        let mut admitted = Map::new();
        for (name, value) in values {
            let bytes = Value::from(name.as_str()).to_string().len() + value.to_string().len() + ":,".len();
            match self.bytes.checked_sub(bytes) {
                Some(left) => {
                    self.bytes = left;
                    admitted.insert(name, value);
                }
                None => self.left_out += 1,
            }
        }
        admitted
    }
}

fn properties(received: &BasicProperties) -> BTreeMap<String, Value> {
    let texts = [
        ("app_id", received.app_id()),
        ("cluster_id", received.cluster_id()),
        ("content_encoding", received.content_encoding()),
        ("correlation_id", received.correlation_id()),
        ("expiration", received.expiration()),
        ("reply_to", received.reply_to()),
        ("user_id", received.user_id()),
    ];
    let other_mode = received.delivery_mode().filter(|mode| *mode != PERSISTENT);
    let numbers = [("delivery_mode", other_mode), ("priority", *received.priority())];
    let texts = texts.into_iter().filter_map(|(name, text)| {
        Some((name.to_owned(), cut(text.as_ref()?.as_str(), MAX_VALUE_CHARS).into()))
    });
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into())));
    texts.chain(numbers).collect()
}

/// The headers that neither we nor the broker wrote.
fn foreign_headers(received: &BasicProperties) -> BTreeMap<String, Value> {
    let headers = received.headers().iter().flat_map(FieldTable::inner);
    headers
        .filter(|(name, _)| !headers::is_ours(name.as_str()) && !OF_THE_BROKER.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), shown(value, MAX_VALUE_CHARS)))
        .collect()
}

fn shown_at(value: &AMQPValue, chars: usize, depth: usize) -> Value {
    match value {
        AMQPValue::Boolean(flag) => json!(flag),
        AMQPValue::ShortShortInt(number) => json!(number),
        AMQPValue::ShortShortUInt(number) => json!(number),
        AMQPValue::ShortInt(number) => json!(number),
        AMQPValue::ShortUInt(number) => json!(number),
        AMQPValue::LongInt(number) => json!(number),
        AMQPValue::LongUInt(number) => json!(number),
        AMQPValue::LongLongInt(number) => json!(number),
        AMQPValue::Float(number) => json!(number),
        AMQPValue::Double(number) => json!(number),
        AMQPValue::Timestamp(seconds) => json!(seconds),
        AMQPValue::Void => Value::Null,
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) if depth >= MAX_DEPTH => CUT.into(),
        AMQPValue::FieldArray(values) => {
            values.as_slice().iter().map(|value| shown_at(value, chars, depth + 1)).collect()
        }
        AMQPValue::FieldTable(table) => {
            let entries = table.inner().iter();
            entries.map(|(name, value)| (name.to_string(), shown_at(value, chars, depth + 1))).collect()
        }
        AMQPValue::LongString(_) | AMQPValue::ShortString(_) => {
            headers::as_text(value).map(|text| cut(&text, chars)).into()
        }
        AMQPValue::ByteArray(_) | AMQPValue::DecimalValue(_) => cut(&format!("{value:?}"), chars).into(),
    }
}

/// The text, or its beginning and [`CUT`].
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}{CUT}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use lapin::BasicProperties;
    use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
    use serde_json::json;

    use super::{MAX_ORIGINAL_BYTES, ORIGINAL, of_copy, original};
    use crate::headers;

    fn with_headers(headers: impl IntoIterator<Item = (String, AMQPValue)>) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        BasicProperties::default().with_headers(table)
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(LongString::from(text.as_bytes()))
    }

    #[test]
    fn a_copy_keeps_the_event_and_records_the_rest() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let received = with_headers([
            ("traceparent".to_owned(), text(traceparent)),
            ("CC".to_owned(), AMQPValue::FieldArray(FieldArray::from(vec![text("notes.events")]))),
            ("x-death".to_owned(), text("forged")),
            (headers::REASON.to_owned(), text("forged")),
        ])
        .with_message_id("m-1".into())
        .with_type("order.ready".into())
        .with_content_type("application/json".into())
        .with_timestamp(7)
        .with_expiration("500".into())
        .with_user_id("stranger".into())
        .with_priority(9)
        .with_delivery_mode(1);
        let (properties, headers) = of_copy(&received);
        let expected = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id("m-1".into())
            .with_type("order.ready".into())
            .with_content_type("application/json".into())
            .with_timestamp(7);
        assert_eq!(properties, expected);
        assert_eq!(headers.inner().len(), 2, "{headers:?}");
        assert_eq!(headers::text(&headers, "traceparent").unwrap(), traceparent);
        let written: serde_json::Value =
            serde_json::from_str(&headers::text(&headers, ORIGINAL).unwrap()).unwrap();
        let original = json!({
            "expiration": "500", "user_id": "stranger", "priority": 9, "delivery_mode": 1,
            "headers": { "CC": ["notes.events"] },
        });
        assert_eq!(written, original);
        let again = properties.with_headers(headers);
        assert_eq!(
            of_copy(&again).1,
            *again.headers().as_ref().unwrap(),
            "a copy of a copy has the same headers"
        );
    }

    #[test]
    fn recorded_properties_are_bounded() {
        let long = |count: usize| text(&"ż".repeat(count));
        let nested = (0..1000).fold(text("x"), |inner, _| AMQPValue::FieldArray(vec![inner].into()));
        let many = (0..500).map(|number| (format!("h-{number}"), long(50)));
        let quotes = (0..500).map(|number| (format!("q-{number}"), text(&"\"\u{1}".repeat(100))));
        let worst = with_headers(many.chain(quotes)).with_reply_to("r".repeat(255).into());
        for received in [
            with_headers([("big".to_owned(), long(65_000))]),
            with_headers([("deep".to_owned(), nested)]),
            worst,
        ] {
            let written = serde_json::Value::Object(original(&received)).to_string();
            assert!(written.len() <= MAX_ORIGINAL_BYTES, "{} bytes", written.len());
            assert!(written.contains('…') || written.contains("left_out"), "{written}");
        }
    }

    #[test]
    fn a_forged_header_of_ours_is_not_copied() {
        for forged in ["no json", "[]", &format!("{{\"x\":\"{}\"}}", "x".repeat(3000))] {
            let received = with_headers([
                (ORIGINAL.to_owned(), text(forged)),
                (headers::REQUEUED.to_owned(), text("often")),
                ("traceparent".to_owned(), long_text()),
            ]);
            assert_eq!(of_copy(&received).1, FieldTable::default(), "{forged:.20}");
        }
    }

    fn long_text() -> AMQPValue {
        text(&"0".repeat(100_000))
    }
}
