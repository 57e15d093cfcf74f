//! Alerts to people, by Telegram and in the log.
//!
//! An alert is raised in the transaction of its cause, once per cause: raising an open alert again only increases its
//! count. When the cause is gone the alert is cleared, and everyone who got the alert gets a notice of that. Any number
//! of processes run a [`Sender`], which writes each notice to the log and to every chat. Notices that cannot be sent
//! wait without a time limit.
//!
//! The database's clock decides when a notice is due, and when a sender has lost a chat. The times at which services
//! raise and clear alerts are their own, for people to read.
//!
//! The texts are created when an alert is raised, in every language, so that a sender needs no knowledge of its kind.

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
pub use store::causes::{clear, clear_all, is_open, raise};
pub use store::upkeep::RETENTION;
pub use telegram::Telegram;

/// The migration that creates the tables. Services include it unchanged.
pub const ALERTS_SQL: &str = include_str!("../sql/alerts.sql");
