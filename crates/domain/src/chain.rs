//! An error with all its causes, for the log.

use std::error::Error;
use std::fmt;

/// Displays an error and its causes, outermost first, joined by `: `.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Chain;

    #[derive(Debug, thiserror::Error)]
    #[error("the letter was not sent")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn every_cause_is_named_once() {
        let shown = Chain(&Outer(std::fmt::Error)).to_string();
        assert_eq!(shown, "the letter was not sent: an error occurred when formatting an argument");
    }
}
