//! Converts serde's errors to a pointer, a code and a message.

use std::fmt::Write as _;

use serde_path_to_error::{Path, Segment};

/// One error of serde, in our terms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) code: &'static str,
    /// The field that the message names (missing, unknown, duplicate). Serde's path does not contain it.
    pub(super) field: Option<String>,
}

/// serde's errors are text by design. These prefixes are those of its `de::Error` constructors.
const BEGINNINGS: [(&str, &str, bool); 7] = [
    ("missing field `", "missing", true),
    ("unknown field `", "unknown_field", true),
    ("duplicate field `", "duplicate", true),
    ("unknown variant `", "not_allowed", false),
    ("invalid type: ", "wrong_type", false),
    ("invalid length ", "wrong_length", false),
    ("invalid value: ", "invalid_value", false),
];

/// Classifies the message of a serde error.
pub(super) fn classify(message: &str) -> Finding {
    BEGINNINGS
        .iter()
        .find_map(|&(beginning, code, names_field)| {
            let rest = message.strip_prefix(beginning)?;
            let field = rest.split('`').next().filter(|_| names_field).map(str::to_owned);
            Some(Finding { code, field })
        })
        .unwrap_or(Finding { code: "invalid_value", field: None })
}

/// RFC 6901 pointer of serde's path, and of the field in its message.
pub(super) fn pointer(path: &Path, field: Option<&str>) -> String {
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(pointer, "/{index}");
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                push(&mut pointer, key);
                last = Some(key.as_str());
            }
            Segment::Unknown => {}
        }
    }
    // "missing" and "unknown" differ in which of the two contains the name.
    if let Some(field) = field.filter(|field| last != Some(*field)) {
        push(&mut pointer, field);
    }
    pointer
}

/// Appends one escaped reference token (RFC 6901 §3).
pub(super) fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}
