//! Errors that stay, however often one tries.

use std::error::Error;

/// Says of the error within that trying again does not help. Who tries again and again looks for it among the causes.
#[derive(Debug, thiserror::Error)]
#[error("trying again does not help")]
pub struct Hopeless(#[source] Box<dyn Error + Send + Sync>);

impl Hopeless {
    /// Marks an error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}
