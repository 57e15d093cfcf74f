//! Errors that a retry does not fix.

use std::error::Error;

/// Marks an error as permanent: a retry fails in the same way. Retry loops look for it among the causes of an error.
#[derive(Debug, thiserror::Error)]
#[error("permanent error, a retry does not help")]
pub struct PermanentError(#[source] Box<dyn Error + Send + Sync>);

impl PermanentError {
    /// Marks an error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}
