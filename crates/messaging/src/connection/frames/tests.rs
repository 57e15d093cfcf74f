#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use lapin::BasicProperties;
use lapin::protocol::basic::parse_properties;
use serde_json::{Value, json};

use super::{CONTENT_HEADER, END, FIXED_BYTES, Frames, HEAD_BYTES, METHOD, length};
use crate::properties;

/// The beginning of every content header here, before the flags: class 60, a body of 7 bytes.
const FIXED: [u8; FIXED_BYTES] = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, 1], length(payload).unwrap().as_slice(), payload, &[END]].concat()
}

/// A content header with these flags and properties.
fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    frame(CONTENT_HEADER, &[FIXED.as_slice(), &flags.to_be_bytes(), properties].concat())
}

/// A content header whose table has one entry.
fn with_entry(value: &[u8]) -> Vec<u8> {
    let entry = [b"\x01h", value].concat();
    header(1 << 13, &[length(&entry).unwrap().as_slice(), &entry].concat())
}

/// Lists in lists, `levels` deep.
fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(b"V".to_vec(), |inner, _| [b"A", length(&inner).unwrap().as_slice(), &inner].concat())
}

fn tune(frame_max: u32) -> Vec<u8> {
    frame(METHOD, &[[0, 10, 0, 30, 0, 0].as_slice(), &frame_max.to_be_bytes(), &[0, 60]].concat())
}

/// The result of lapin's parser for a content header.
fn parsed(header: &[u8]) -> BasicProperties {
    let payload = &header[HEAD_BYTES..header.len() - 1];
    assert_eq!(frame(CONTENT_HEADER, payload), header);
    assert_eq!(payload[..FIXED_BYTES], FIXED);
    let (rest, properties) = parse_properties(&payload[FIXED_BYTES..]).unwrap();
    assert!(rest.is_empty());
    properties
}

/// The bytes that lapin reads of these frames, with a broker that accepts 8,192 bytes per frame.
fn admitted(received: &[u8]) -> Vec<u8> {
    let (mut frames, mut ignored) = (Frames::new(None), Vec::new());
    frames.admit(&tune(8192), &mut ignored);
    let mut admitted = Vec::new();
    for byte in received {
        frames.admit(&[*byte], &mut admitted);
    }
    let mut at_once = Vec::new();
    frames.admit(received, &mut at_once);
    assert_eq!(at_once, admitted, "bytes that arrive together are admitted as those that arrive singly");
    admitted
}

#[test]
fn a_readable_frame_is_passed_on_unchanged() {
    let values: [&[u8]; 8] = [
        b"t\x01",
        b"sxx",
        b"Ixxxx",
        b"Dxxxxx",
        b"Lxxxxxxxx",
        b"S\0\0\0\x02\xff\xff",
        b"F\0\0\0\x07\x01kA\0\0\0\0",
        b"x\0\0\0\0",
    ];
    let texts = b"\x01c\x01e\0\0\0\0\x02\x09\x01i\x01r\x01x\x01mtimestmp\x01t\x01u\x01a\x01c";
    let headers = [header(0xfffc, texts), header(0, b""), with_entry(&nested(31))];
    let headers: Vec<Vec<u8>> = headers.into_iter().chain(values.map(with_entry)).collect();
    for header in &headers {
        assert_eq!(admitted(header), *header);
        parsed(header);
    }
    let stream = [frame(3, b"body"), headers.concat(), frame(8, b""), frame(METHOD, &[0; 2000])].concat();
    assert_eq!(admitted(&stream), stream);
}

#[test]
fn properties_lapin_cannot_read_are_replaced() {
    for (received, reason) in [
        (with_entry(&nested(32)), "nested deeper than 32 levels"),
        (with_entry(&nested(1500)), "nested deeper than 32 levels"),
        (with_entry(&[b"S\0\0\x20\0".as_slice(), &[b'x'; 0x2000]].concat()), "larger than a frame"),
        (header(1 << 15, b"\x02\xff\xff"), "a text is not UTF-8"),
        (header(1 << 13, b"\0\0\0\x03\x01\xffV"), "a text is not UTF-8"),
        (header(1 << 13, b"\0\0\0\x09\x01hV"), "malformed"),
        (with_entry(b"?"), "malformed"),
        (with_entry(b"S\xff\xff\xff\xff"), "malformed"),
        (with_entry(b"A\0\0\0\x02Vt"), "malformed"),
        (header(1 << 15, b""), "malformed"),
        (header(0, b"more"), "malformed"),
        (header(1, b""), "malformed"),
    ] {
        let original = properties::original(&parsed(&admitted(&received)));
        assert_eq!(Value::from(original), json!({ "unreadable": reason }));
    }
}

#[test]
fn a_routing_key_that_is_not_utf_8_is_made_valid() {
    let deliver = |key: &[u8]| [b"\0\x3c\0\x3c\x01cdeliver-\0\x01e\x03".as_slice(), key].concat();
    let get_ok = |key: &[u8]| [b"\0\x3c\0\x47deliver-\0\x01e\x03".as_slice(), key, b"\0\0\0\0"].concat();
    for method in [deliver, get_ok] {
        let received = frame(METHOD, &method(b"a\xffb"));
        assert_eq!(admitted(&received), frame(METHOD, &method(b"a?b")));
        let readable = frame(METHOD, &method("aż".as_bytes()));
        assert_eq!(admitted(&readable), readable);
    }
}

#[test]
fn the_smaller_frame_size_is_used() {
    for (client, broker, expected) in [
        (None, 131_072, 131_072),
        (Some(0), 0, usize::MAX),
        (Some(8192), 131_072, 8192),
        (Some(131_072), 16_384, 16_384),
        (Some(1), 0, 4096),
    ] {
        let mut frames = Frames::new(client);
        frames.admit(&tune(broker), &mut Vec::new());
        assert_eq!(frames.frame_max, expected);
    }
}
