//! Alerts, their severity and their notices.

use domain::Language;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A condition that people must know of. Each service has an enum of its alerts.
pub trait Alert {
    /// Its kind, in snake case: `account_needs_reauthorization`.
    fn kind(&self) -> &'static str;

    /// The cause, as specific as people can act on it: `account_needs_reauthorization/<account>`. Each cause has at
    /// most one open alert, and [`crate::clear`] identifies it by the cause.
    fn cause(&self) -> String;

    /// How urgent it is.
    fn severity(&self) -> Severity;

    /// The texts. They must not contain secrets: they are stored, logged and sent to Telegram.
    fn text(&self, language: Language) -> Text;
}

/// Urgency of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Can wait until quiet hours end.
    Warning,
    /// Is sent during quiet hours too.
    Critical,
}

impl Severity {
    /// The value in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The text in one language: plain text of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Further lines; may be empty.
    pub body: String,
}

/// The kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The alert was raised.
    Raised,
    /// The alert became critical.
    Escalated,
    /// The alert was cleared.
    Cleared,
    /// No alert: a summary.
    Summary,
}

/// A notice of an alert.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) cause: String,
    pub(crate) stage: Stage,
    pub(crate) is_critical: bool,
    /// Sent in a message of its own.
    pub(crate) is_alone: bool,
    pub(crate) text: Text,
    /// How often the alert was raised.
    pub(crate) times: i64,
    pub(crate) raised_at: OffsetDateTime,
    pub(crate) cleared_at: Option<OffsetDateTime>,
}
