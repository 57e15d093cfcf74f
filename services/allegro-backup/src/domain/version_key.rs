//! How a content of an order is named: by its number, or, where it came too late to get one, by its own place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Digits that a number has at most.
const MAX_DIGITS: usize = 10;

/// A content of an order. As text a number, or `late-` and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum VersionKey {
    /// It is, or was, the order's content.
    Number(i64),
    /// A newer one was there already when it came.
    Late(i64),
}

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Late(place) => write!(f, "late-{place}"),
        }
    }
}

impl From<VersionKey> for String {
    fn from(key: VersionKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for VersionKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = |digits: &str| {
            let is_number = digits.len() <= MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        };
        let key = match text.strip_prefix("late-") {
            Some(place) => read(place).map(Self::Late),
            None => read(&text).map(Self::Number),
        };
        key.ok_or("is a version's number, or `late-` and a number, as the list of versions names it")
    }
}
