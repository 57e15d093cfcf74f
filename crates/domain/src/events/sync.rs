//! Facts about readings of an account's orders.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Event;
use crate::ids::{TaskId, TokenId};

/// What is told about a reading that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncFact {
    /// The account.
    pub token_id: TokenId,
    /// The user who owns it.
    pub user_id: String,
    /// The task that read.
    pub task_id: TaskId,
    /// Grows with each reading of the account.
    pub number: i64,
    /// `events`, `list`, `sweep` or `manual`.
    pub kind: String,
    /// Orders bought from this moment on were read, where it was a list.
    #[serde(default, with = "crate::instant::option")]
    pub from: Option<OffsetDateTime>,
    /// Orders bought until this moment were read, where it was a list.
    #[serde(default, with = "crate::instant::option")]
    pub to: Option<OffsetDateTime>,
    /// Orders looked at.
    pub orders_processed: i64,
    /// Orders stored for the first time.
    pub orders_added: i64,
    /// Orders whose content changed.
    pub orders_updated: i64,
    /// Orders that went into quarantine.
    pub orders_failed: i64,
    /// When it was begun.
    #[serde(with = "crate::instant")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "crate::instant")]
    pub ended_at: OffsetDateTime,
    /// What went wrong, where something did.
    pub error: Option<String>,
}

macro_rules! sync_events {
    ($($(#[$doc:meta])* $name:ident => $type:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub SyncFact);

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
    /// A reading of an account's orders is complete; following the journal is not told of.
    OrderSyncCompleted => "order_sync.completed";
    /// A reading of an account's orders was given up.
    OrderSyncFailed => "order_sync.failed";
}
