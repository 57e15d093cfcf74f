//! What an alert is.

use domain::Language;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Something people are to be told of. A service has an enum of all it tells.
pub trait Alert {
    /// Its kind, in snake case: `account_needs_reauthorization`.
    fn kind(&self) -> &'static str;

    /// What it is about, as narrow as people can act on it: `account_needs_reauthorization/<account>`. One alert is
    /// open for each cause, and [`crate::clear`] names it by this.
    fn cause(&self) -> String;

    /// How bad it is.
    fn severity(&self) -> Severity;

    /// What people read. Must not hold secrets: it is stored, logged and sent to Telegram.
    fn text(&self, language: Language) -> Text;
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Can wait until the morning.
    Warning,
    /// Wakes people.
    Critical,
}

impl Severity {
    /// The word in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What people read, in one language; plain text, of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// One line.
    pub title: String,
    /// More, if there is more to say: may be empty.
    pub body: String,
}

/// What is being said about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is there.
    Raised,
    /// It is worse than it was.
    Escalated,
    /// It is gone.
    Cleared,
    /// Nothing is wrong: a summary.
    Told,
}

/// One thing to be said about one alert.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) cause: String,
    pub(crate) stage: Stage,
    pub(crate) is_critical: bool,
    /// Not in one message with others.
    pub(crate) is_alone: bool,
    pub(crate) text: Text,
    /// Raised so often.
    pub(crate) times: i64,
    pub(crate) raised_at: OffsetDateTime,
    pub(crate) cleared_at: Option<OffsetDateTime>,
}
