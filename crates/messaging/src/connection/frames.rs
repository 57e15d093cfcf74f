//! Replaces the parts of a connection's frames that lapin cannot read.
//!
//! lapin's parser recurses for each level of a table: thousands of levels overflow its stack, which aborts the process.
//! A frame that is malformed or larger than agreed ends the connection, and RabbitMQ delivers its message again.

use super::fields;
use crate::properties::ORIGINAL;

/// Type, channel and size (AMQP 0-9-1 §4.2.3).
const HEAD_BYTES: usize = 7;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const END: u8 = 0xCE;
/// Class, weight and body size precede the properties of a content header (§4.2.6.1).
const FIXED_BYTES: usize = 12;
/// The flags of a content header whose only property is `headers`.
const ONLY_HEADERS: u16 = 1 << 13;
/// Larger than every method that is inspected: three short strings and numbers.
const MAX_METHOD_BYTES: usize = 1024;
/// The frame size before the broker states a larger one (§4.2.3).
const MIN_FRAME_MAX: usize = 4096;

/// The incoming frames of one connection, processed byte by byte.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
    /// The current frame; of one larger than [`Frames::frame_max`], its beginning.
    held: Vec<u8>,
    /// The client's maximum frame size in bytes.
    client_max: usize,
    /// The maximum frame size that both sides accept, in bytes.
    frame_max: usize,
}

/// Type of the next bytes, and how many of them are missing.
#[derive(Debug, Clone, Copy)]
enum State {
    Head(usize),
    /// Payload and end of a frame that is passed on as it arrives.
    Passing(usize),
    /// Payload and end of a frame that is passed on as a whole.
    Holding(usize),
}

impl Frames {
    /// `client_max` is the client's maximum frame size in bytes. `None` or 0 is no limit.
    pub(super) fn new(client_max: Option<u32>) -> Self {
        let (state, held) = (State::Head(HEAD_BYTES), Vec::new());
        Self { state, held, client_max: limit(client_max.unwrap_or(0)), frame_max: MIN_FRAME_MAX }
    }

    /// Appends the bytes that lapin may read to `admitted`.
    pub(super) fn admit(&mut self, mut received: &[u8], admitted: &mut Vec<u8>) {
        while !received.is_empty() {
            let (State::Head(missing) | State::Passing(missing) | State::Holding(missing)) = self.state;
            let (part, rest) = received.split_at(missing.min(received.len()));
            received = rest;
            let missing = missing - part.len();
            self.state = match (self.state, missing) {
                (State::Head(_), _) => {
                    self.held.extend_from_slice(part);
                    if missing == 0 { self.begin(admitted) } else { State::Head(missing) }
                }
                (State::Passing(_), _) => {
                    admitted.extend_from_slice(part);
                    if missing == 0 { State::Head(HEAD_BYTES) } else { State::Passing(missing) }
                }
                (State::Holding(_), _) => {
                    // One byte too many shows that the frame is too large.
                    let room = self.frame_max.saturating_add(1).saturating_sub(self.held.len());
                    self.held.extend(part.iter().take(room));
                    if missing == 0 { self.end(admitted) } else { State::Holding(missing) }
                }
            };
        }
    }

    fn begin(&mut self, admitted: &mut Vec<u8>) -> State {
        let (kind, size) = match *self.held.as_slice() {
            [kind, _, _, a, b, c, d] => (kind, u32::from_be_bytes([a, b, c, d])),
            _ => (0, 0),
        };
        let missing = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        if kind == CONTENT_HEADER || (kind == METHOD && missing <= MAX_METHOD_BYTES) {
            return State::Holding(missing);
        }
        admitted.append(&mut self.held);
        State::Passing(missing)
    }

    fn end(&mut self, admitted: &mut Vec<u8>) -> State {
        if self.held.first() == Some(&METHOD) {
            self.read_method();
        } else if let Some((reason, replacement)) = self.unreadable() {
            tracing::warn!(reason, "message properties cannot be read; dropped");
            self.held = replacement;
        }
        admitted.append(&mut self.held);
        State::Head(HEAD_BYTES)
    }

    /// Reads the frame size from `connection.tune`, and makes routing keys valid UTF-8: RabbitMQ accepts any bytes.
    fn read_method(&mut self) {
        let key = match self.held.get_mut(HEAD_BYTES..).unwrap_or_default() {
            // connection.tune: channel-max, frame-max.
            [0, 10, 0, 30, _, _, a, b, c, d, ..] => {
                self.frame_max = self.client_max.min(limit(u32::from_be_bytes([*a, *b, *c, *d])));
                return;
            }
            // basic.deliver: consumer-tag, delivery-tag, redelivered, exchange, routing-key.
            [0, 60, 0, 60, rest @ ..] => split_text(rest).and_then(|(_, rest)| routing_key(rest)),
            // basic.get-ok: delivery-tag, redelivered, exchange, routing-key.
            [0, 60, 0, 71, rest @ ..] => routing_key(rest),
            _ => return,
        };
        if let Some(key) = key.filter(|key| str::from_utf8(key).is_err()) {
            key.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
    }

    /// The reason why the content header cannot be read, and its replacement.
    fn unreadable(&self) -> Option<(&'static str, Vec<u8>)> {
        let fixed = self.held.get(HEAD_BYTES..HEAD_BYTES + FIXED_BYTES)?;
        let reason = if self.held.len() > self.frame_max {
            "larger than a frame"
        } else {
            let (_end, payload) = self.held.get(HEAD_BYTES..)?.split_last()?;
            fields::check_properties(payload.get(FIXED_BYTES..)?).err()?
        };
        Some((reason, self.without_properties(fixed, reason)?))
    }

    /// A content header whose only property is the reason, as a header, where operators look for a message's
    /// properties.
    fn without_properties(&self, fixed: &[u8], reason: &str) -> Option<Vec<u8>> {
        let text = serde_json::json!({ "unreadable": reason }).to_string();
        let value = [b"S", length(&text)?.as_slice(), text.as_bytes()].concat();
        let entry = [&[u8::try_from(ORIGINAL.len()).ok()?], ORIGINAL.as_bytes(), &value].concat();
        let payload = [fixed, &ONLY_HEADERS.to_be_bytes(), &length(&entry)?, &entry].concat();
        Some([self.held.get(..3)?, &length(&payload)?, &payload, &[END]].concat())
    }
}

/// Limit of a frame in bytes. 0 is no limit.
fn limit(frame_max: u32) -> usize {
    match usize::try_from(frame_max) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(bytes) => bytes.max(MIN_FRAME_MAX),
    }
}

fn length(of: impl AsRef<[u8]>) -> Option<[u8; 4]> {
    u32::try_from(of.as_ref().len()).ok().map(u32::to_be_bytes)
}

/// Splits off a short string.
fn split_text(bytes: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let (length, rest) = bytes.split_first_mut()?;
    rest.split_at_mut_checked(usize::from(*length))
}

/// Offset of the routing key: after a delivery tag (8 bytes), a flag (1) and the exchange.
fn routing_key(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let (_exchange, rest) = split_text(bytes.get_mut(9..)?)?;
    Some(split_text(rest)?.0)
}

#[cfg(test)]
mod tests;
