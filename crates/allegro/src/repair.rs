//! JSON that is well-formed and that a JSON library refuses all the same.

use std::borrow::Cow;

/// Arrays and objects inside each other, at most; `serde_json` refuses 128.
const MAX_DEPTH: usize = 100;

/// Returns well-formed JSON so that it can be read: half of a surrogate pair becomes U+FFFD; a number beyond the range of
/// a double and a value nested deeper than 100 levels become null.
pub fn repair(json: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(json.len());
    let (mut rest, mut depth) = (json, 0_usize);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => rest
                .find(|it: char| !matches!(it, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
                .unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            '[' | '{' => {
                depth += 1;
                if depth == MAX_DEPTH + 1 {
                    out.push_str("null");
                }
            }
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let closes_skipped = matches!(first, ']' | '}') && depth == MAX_DEPTH;
        if depth > MAX_DEPTH || closes_skipped {
            continue;
        }
        match first {
            '"' => pair_surrogates(token, &mut out),
            '-' | '0'..='9' if token.parse::<f64>().is_ok_and(f64::is_infinite) => out.push_str("null"),
            _ => out.push_str(token),
        }
    }
    if out == json { Cow::Borrowed(json) } else { Cow::Owned(out) }
}

/// The length in bytes of the string that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Writes a string; an escape that is half of a surrogate pair is written as U+FFFD.
fn pair_surrogates(mut text: &str, out: &mut String) {
    while let Some(at) = text.find('\\') {
        let (before, escape) = text.split_at(at);
        out.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                text = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (kept, after) = escape.split_at(length);
        out.push_str(kept);
        text = after;
    }
    out.push_str(text);
}

/// The UTF-16 unit that a `\u` escape at the beginning of `text` stands for.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::Value;

    use super::repair;

    #[test]
    fn unreadable_parts_are_replaced() {
        for (json, expected) in [
            (
                r#"{"a":"\ud83d\ude00 \\ud800","b":[1,-2.5e3]}"#,
                r#"{"a":"\ud83d\ude00 \\ud800","b":[1,-2.5e3]}"#,
            ),
            (r#"{"a\ud800":"\udc00x\ud83d"}"#, r#"{"a\ufffd":"\ufffdx\ufffd"}"#),
            (r#"{"a":1e999,"b":-1e999}"#, r#"{"a":null,"b":null}"#),
            (r#""\"]\\""#, r#""\"]\\""#),
        ] {
            assert_eq!(repair(json), expected);
            assert!(serde_json::from_str::<Value>(&repair(json)).is_ok(), "{json}");
        }
        let deep = format!("{{\"id\":\"a\",\"note\":{}{},\"b\":2}}", "[".repeat(500), "]".repeat(500));
        let read: Value = serde_json::from_str(&repair(&deep)).unwrap();
        assert_eq!(read.pointer("/b"), Some(&2.into()));
    }
}
