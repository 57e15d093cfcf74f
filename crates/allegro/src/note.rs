//! Notes about fields that could not be read.

use serde::Serialize;
use utoipa::ToSchema;

/// The reason for which a field counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Allegro always sends the field, and the document has none.
    Missing,
    /// The value is of another JSON type.
    WrongType,
    /// The value has the right type and cannot be read: no date, no amount, a fraction, out of range.
    Unreadable,
    /// The value is none that Allegro's documentation lists. It is kept as it is.
    UnknownValue,
}

/// A field that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Note {
    /// The place in the document (JSON Pointer, RFC 6901).
    #[schema(example = "/lineItems/0/quantity")]
    pub field: String,
    /// What is wrong with it.
    pub fault: Fault,
}
