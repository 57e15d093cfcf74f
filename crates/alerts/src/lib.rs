//! Notices to people: in Telegram, and in the log.
//!
//! An alert is raised in the transaction of what it speaks of, once for each cause: while it is open, raising it
//! again only counts. When its cause has gone it is cleared, and those who were told are told that too. A
//! [`Sender`] in any number of processes writes each notice to the log and to every chat; what cannot be
//! sent waits, for as long as it takes.
//!
//! When something is due to be sent, and when a sender has lost a chat, is decided by the database's clock. The moments
//! services raise and clear at are theirs, for people to read.
//!
//! Texts are made when an alert is raised, in every language: a sender need not know the kinds there are.

mod corrupt_rows;
mod daily;
mod message;
mod model;
mod sender;
mod store;
mod telegram;

pub use corrupt_rows::{clear_corrupt_rows, report_corrupt_rows};
pub use daily::Daily;
pub use model::{Alert, Severity, Text};
pub use sender::{Sender, Settings};
pub use store::causes::{clear, raise};
pub use store::upkeep::RETENTION;
pub use telegram::Telegram;

/// The migration that makes the tables; a service includes it as it is.
pub const ALERTS_SQL: &str = include_str!("../sql/alerts.sql");
