//! Events of sync runs.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Event;
use crate::ids::{TaskId, TokenId};

/// Data of an event about a finished sync run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncEvent {
    /// The account.
    pub token_id: TokenId,
    /// The user who owns it.
    pub user_id: String,
    /// The task that ran.
    pub task_id: TaskId,
    /// Grows with each sync run of the account.
    pub number: i64,
    /// `events`, `list`, `sweep` or `manual`.
    pub kind: String,
    /// Start of the purchase dates that a list run read.
    #[serde(default, with = "crate::instant::option")]
    pub from: Option<OffsetDateTime>,
    /// End of the purchase dates that a list run read.
    #[serde(default, with = "crate::instant::option")]
    pub to: Option<OffsetDateTime>,
    /// Orders read.
    pub orders_processed: i64,
    /// Orders stored for the first time.
    pub orders_added: i64,
    /// Orders whose content changed.
    pub orders_updated: i64,
    /// Orders quarantined.
    pub orders_failed: i64,
    /// When it began.
    #[serde(with = "crate::instant")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "crate::instant")]
    pub ended_at: OffsetDateTime,
    /// The error, if the run failed.
    pub error: Option<String>,
}

macro_rules! sync_events {
    ($($(#[$doc:meta])* $name:ident => $type:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub SyncEvent);

        impl Event for $name {
            const TYPE: &'static str = $type;
            const SOURCE: &'static str = "/allegro-backup";

            fn subject(&self) -> String {
                self.0.token_id.to_string()
            }

            fn partition_key(&self) -> String {
                self.0.token_id.to_string()
            }

            fn sequence(&self) -> i64 {
                self.0.number
            }
        }
    )+};
}

sync_events! {
    /// A sync run of an account's orders completed. Runs that only follow the journal publish no event.
    OrderSyncCompleted => "order_sync.completed";
    /// A sync run of an account's orders failed.
    OrderSyncFailed => "order_sync.failed";
}
