//! Validates content and parameters before a handler gets them.
//!
//! Invariant: a value that a handler gets has the shape of its type (unknown fields are rejected if the type has
//! `deny_unknown_fields`), is valid UTF-8 and contains no NUL character, which Postgres cannot store in text.

mod csv;
mod integers;
mod json;
mod params;
mod shape;

pub use csv::ApiCsv;
pub use json::{ApiJson, MAX_BODY_BYTES, OptionalJson, from_text};
pub use params::{ApiPath, ApiQuery};

/// Code and message for text that contains U+0000.
const NUL: (&str, &str) = ("nul_character", "must not contain the character U+0000");
