//! Names that people choose and URLs contain: users' ids and warehouses' names.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The reason why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than this many characters.
    #[error("must be 1 to {0} characters long, and not only white space")]
    WrongLength(usize),
    /// The path of a URL cannot contain the name: clients remove `.` and `..` (RFC 3986, section 5.2.4).
    #[error("must not consist of dots only")]
    OnlyDots,
    /// Postgres cannot store U+0000 in text, and pages and logs do not show the other control characters.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl NameError {
    /// The code of the field's error in a problem document.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongLength(_) => "wrong_length",
            Self::OnlyDots => "only_dots",
            Self::ControlCharacter => "control_character",
        }
    }
}

fn trimmed(text: &str, most: usize) -> Result<String, NameError> {
    // White space counts here, because it counts for the `maxLength` of the OpenAPI documents too.
    if text.chars().count() > most {
        return Err(NameError::WrongLength(most));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(NameError::WrongLength(most));
    }
    if text.chars().all(|character| character == '.') {
        return Err(NameError::OnlyDots);
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter);
    }
    Ok(text.to_owned())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $most:tt;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        // White space at either end, around text without control characters that is not made of dots only.
        #[schema(
            value_type = String, min_length = 1, max_length = $most,
            pattern = r"^[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*[^\u0000-\u001f\u007f-\u009f]*([^.\s\u0000-\u001f\u007f-\u009f]|\.[^\S\u0000-\u001f\u007f-\u009f]+\.)[^\u0000-\u001f\u007f-\u009f]*[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$"
        )]
        pub struct $name(String);

        impl $name {
            /// Parses a name. White space around it is removed.
            ///
            /// # Errors
            /// It is empty, too long with its white space, consists of dots only, or contains control characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                trimmed(text, $most).map(Self)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// The id of a user in the surrounding systems: 1 to 255 characters.
    UserId, 255;
    /// The name of a warehouse: 1 to 100 characters.
    WarehouseName, 100;
}

#[cfg(test)]
mod tests {
    use super::{NameError, UserId, WarehouseName};

    #[test]
    fn a_name_is_trimmed_and_bounded_in_characters() {
        for text in ["sklep-ząbek", "  sklep-ząbek\t\n", "\u{a0}sklep-ząbek\u{2003}"] {
            assert_eq!(UserId::parse(text).as_deref(), Ok("sklep-ząbek"), "{text:?}");
        }
        assert!(UserId::parse(&"ż".repeat(255)).is_ok());
        assert_eq!(UserId::parse(&"ż".repeat(256)), Err(NameError::WrongLength(255)));
        assert_eq!(WarehouseName::parse(&"ż".repeat(101)), Err(NameError::WrongLength(100)));
        assert!(WarehouseName::parse(&format!("{} ", "ż".repeat(99))).is_ok());
        assert_eq!(WarehouseName::parse(&format!("{} ", "ż".repeat(100))), Err(NameError::WrongLength(100)));
        for text in ["", " ", "\t\n\u{a0}"] {
            assert_eq!(UserId::parse(text), Err(NameError::WrongLength(255)), "{text:?}");
        }
    }

    #[test]
    fn a_name_does_not_consist_of_dots_only() {
        for text in [".", "..", " . ", "....."] {
            assert_eq!(UserId::parse(text), Err(NameError::OnlyDots), "{text:?}");
        }
        for text in [". .", ".a", "a..", "·"] {
            assert!(UserId::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_name_contains_no_control_characters() {
        for text in ["skl\0ep", "skl\tep", "skl\nep", "skl\u{1b}[31mep", "skl\u{85}ep", "\0"] {
            assert_eq!(UserId::parse(text), Err(NameError::ControlCharacter), "{text:?}");
        }
    }
}
