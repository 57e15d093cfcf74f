//! Content and parameters, checked before a handler sees them.
//!
//! Invariant: what a handler gets has the shape of its type (unknown fields refused, when the type says
//! `deny_unknown_fields`), is valid UTF-8 and holds no NUL character, which Postgres cannot store in text.

mod csv;
mod integers;
mod json;
mod params;
mod shape;

pub use csv::ApiCsv;
pub use json::{ApiJson, MAX_BODY_BYTES, OptionalJson, from_text};
pub use params::{ApiPath, ApiQuery};

/// The code and message of text that holds U+0000.
const NUL: (&str, &str) = ("nul_character", "must not contain the character U+0000");
