//! Rules of values, all reported together.

use crate::problem::{FieldError, INVALID_CONTENT, Problem};

/// Collects the errors of a body, so that one answer reports all of them.
///
/// ```
/// let mut errors = web::FieldErrors::default();
/// errors.check("anna".len() <= 255, "/user_id", "too_long", "is at most 255 characters long");
/// assert!(errors.finish().is_ok());
/// ```
#[derive(Debug, Default)]
#[must_use = "the rules take effect in `finish`"]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Adds an error unless the rule holds. `pointer` is a JSON pointer into the body.
    pub fn check(&mut self, holds: bool, pointer: &str, code: &str, message: &str) {
        if !holds {
            self.push(pointer, code, message);
        }
    }

    /// Adds an error.
    pub fn push(&mut self, pointer: impl Into<String>, code: &str, message: impl Into<String>) {
        self.0.push(FieldError { pointer: pointer.into(), code: code.to_owned(), message: message.into() });
    }

    /// # Errors
    /// `invalid_content` with all errors, if there are any.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::new(&INVALID_CONTENT).errors(self.0)) }
    }
}
