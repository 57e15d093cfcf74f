//! The headers of a failed message.

use lapin::types::{AMQPValue, FieldTable, LongString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::properties::ORIGINAL;

/// Number of failed attempts.
pub(crate) const ATTEMPT: &str = "x-zaplecze-attempt";
/// Reason of the last failure.
pub(crate) const REASON: &str = "x-zaplecze-reason";
/// The queue that it was consumed from.
pub(crate) const QUEUE: &str = "x-zaplecze-queue";
/// Time of the last failure (RFC 3339).
pub(crate) const AT: &str = "x-zaplecze-at";
/// How often it was requeued from the dead queue.
pub(crate) const REQUEUED: &str = "x-zaplecze-requeued";

/// All headers must fit one frame of the protocol. A longer reason is cut.
const MAX_REASON_CHARS: usize = 1000;
/// The longest queue name (AMQP 0-9-1 §4.2.5.3, short strings).
const MAX_QUEUE_BYTES: usize = 255;

const OURS: [&str; 8] = [ATTEMPT, REASON, QUEUE, AT, REQUEUED, ORIGINAL, "traceparent", "tracestate"];

/// Whether we write this header. A foreign publisher may write one of the same name, which affects only its own
/// message.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// An integer header, or zero if it is absent.
pub(crate) fn number(headers: &FieldTable, name: &str) -> u32 {
    match headers.inner().get(name) {
        Some(AMQPValue::LongInt(number)) => u32::try_from(*number).unwrap_or_default(),
        Some(AMQPValue::LongLongInt(number)) => u32::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

/// A text header.
pub(crate) fn text(headers: &FieldTable, name: &str) -> Option<String> {
    as_text(headers.inner().get(name)?)
}

/// The value, if it is text.
pub(crate) fn as_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

pub(crate) fn set_number(headers: &mut FieldTable, name: &str, number: u32) {
    headers.insert(name.into(), AMQPValue::LongInt(i32::try_from(number).unwrap_or(i32::MAX)));
}

pub(crate) fn set_text(headers: &mut FieldTable, name: &str, text: &str) {
    headers.insert(name.into(), AMQPValue::LongString(LongString::from(text.as_bytes())));
}

/// Records why a message leaves a queue, and when, if that is known.
pub(crate) fn set_cause(headers: &mut FieldTable, reason: &str, queue: &str, at: Option<OffsetDateTime>) {
    let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
    set_text(headers, REASON, &reason);
    // A foreign publisher's text may be longer.
    set_text(headers, QUEUE, queue.get(..queue.floor_char_boundary(MAX_QUEUE_BYTES)).unwrap_or_default());
    // Only years before 0 or after 9999 cannot be written.
    if let Some(at) = at.and_then(|at| at.format(&Rfc3339).ok()) {
        set_text(headers, AT, &at);
    }
}
