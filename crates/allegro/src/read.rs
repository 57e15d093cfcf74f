//! Reading single fields of a document.

use domain::Money;
use serde_json_borrow::Value;
use time::OffsetDateTime;

use crate::note::{Fault, Note};
use crate::timestamp;

/// U+0000 in a text, which Postgres cannot store, is read as U+FFFD.
const NUL_SUBSTITUTE: &str = "\u{fffd}";

/// A place in a document, and the notes about it.
#[derive(Debug)]
pub(crate) struct Reader<'n> {
    path: String,
    notes: &'n mut Vec<Note>,
}

impl<'n> Reader<'n> {
    /// The document as a whole.
    pub(crate) const fn new(notes: &'n mut Vec<Note>) -> Self {
        Self { path: String::new(), notes }
    }

    /// A part of it.
    pub(crate) fn at(&mut self, part: impl std::fmt::Display) -> Reader<'_> {
        Reader { path: format!("{}/{part}", self.path), notes: self.notes }
    }

    /// Adds a note about a field.
    pub(crate) fn note(&mut self, field: &str, fault: Fault) {
        self.notes.push(Note { field: format!("{}/{field}", self.path), fault });
    }

    fn noted<T>(&mut self, field: &str, read: Result<Option<T>, Fault>) -> Option<T> {
        read.unwrap_or_else(|fault| {
            self.note(field, fault);
            None
        })
    }

    /// An object; an empty one when it is absent.
    pub(crate) fn object<'v>(&mut self, content: &'v Value<'v>, field: &'static str) -> &'v Value<'v> {
        let found = content.get(field);
        if !matches!(found, Value::Null | Value::Object(_)) {
            self.note(field, Fault::WrongType);
        }
        found
    }

    /// The elements of an array; none when it is absent.
    pub(crate) fn array<'v>(&mut self, content: &'v Value<'v>, field: &'static str) -> &'v [Value<'v>] {
        match content.get(field) {
            Value::Array(items) => items,
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Str(_) | Value::Object(_) => {
                self.note(field, Fault::WrongType);
                &[]
            }
        }
    }

    /// A text. A number is read as its digits; an empty text is absent.
    pub(crate) fn text(&mut self, content: &Value<'_>, field: &'static str) -> Option<String> {
        let read = match content.get(field) {
            Value::Null => Ok(None),
            Value::Str(text) if text.is_empty() => Ok(None),
            Value::Str(text) => Ok(Some(text.replace('\0', NUL_SUBSTITUTE))),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Fault::WrongType),
        };
        self.noted(field, read)
    }

    /// A whole number, also when it is written as `2.0` or as text.
    pub(crate) fn whole_number(&mut self, content: &Value<'_>, field: &'static str) -> Option<i64> {
        let read = match content.get(field) {
            Value::Null => Ok(None),
            Value::Str(text) if text.is_empty() => Ok(None),
            Value::Str(text) => whole(text.trim()).map(Some),
            Value::Number(number) => whole(&number.to_string()).map(Some),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Fault::WrongType),
        };
        self.noted(field, read)
    }

    /// A timestamp; see [`timestamp::read`].
    pub(crate) fn timestamp(&mut self, content: &Value<'_>, field: &'static str) -> Option<OffsetDateTime> {
        let read = match content.get(field) {
            Value::Null => Ok(None),
            Value::Str(text) if text.is_empty() => Ok(None),
            Value::Str(text) => timestamp::read(text).map(Some).ok_or(Fault::Unreadable),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(Fault::WrongType),
        };
        self.noted(field, read)
    }

    /// An amount with its currency. Absent when the object is empty.
    pub(crate) fn money(&mut self, content: &Value<'_>, field: &'static str) -> Option<Money> {
        let amount = self.object(content, field);
        let mut within = self.at(field);
        let (digits, currency) = (within.text(amount, "amount"), within.text(amount, "currency"));
        let (digits, currency) = digits.zip(currency)?;
        let money = currency.parse().and_then(|currency| Money::parse(&digits, currency));
        self.noted(field, money.map(Some).map_err(|_error| Fault::Unreadable))
    }
}

/// Reads a whole number; a fraction of zero and an exponent may follow.
fn whole(text: &str) -> Result<i64, Fault> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let number: f64 = text.parse().map_err(|_error| Fault::Unreadable)?;
    // Beyond 2^53 a double stands for several whole numbers.
    if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 || !number.is_finite() {
        return Err(Fault::Unreadable);
    }
    format!("{number:.0}").parse().map_err(|_error| Fault::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn whole_numbers_are_read_in_any_notation() {
        for (text, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("1e3", Some(1000)),
            ("-0.0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
        ] {
            assert_eq!(whole(text).ok(), expected, "{text}");
        }
        for text in ["2.5", "1e300", "two", "", "NaN", "inf"] {
            assert!(whole(text).is_err(), "{text}");
        }
    }
}
