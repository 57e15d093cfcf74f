//! One line of an order on its way out of the warehouse, or back.

use domain::events::OperationEvent;
use domain::{AllegroOrderId, Sku, TokenId};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::words;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Out.
    Deduction,
    /// Back.
    Refund,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// The units moved; allegro-backup is to be told.
    Pending,
    /// It is being told.
    Processing,
    /// Done.
    Completed,
    /// People must look at it.
    Failed,
    /// Called off.
    Cancelled,
}

words!(Kind { Deduction = "deduction", Refund = "refund", });
words!(Status {
    Pending = "pending",
    Processing = "processing",
    Completed = "completed",
    Failed = "failed",
    Cancelled = "cancelled",
});

/// An operation as a transaction holds it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: Uuid,
    pub(crate) token_id: Option<TokenId>,
    pub(crate) user_id: Option<String>,
    pub(crate) order_id: AllegroOrderId,
    pub(crate) line_item_id: String,
    /// The deduction of the line that it makes or reverts, counted from 1.
    pub(crate) generation: i64,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
    pub(crate) sku: Option<Sku>,
    /// Absent when the line has none that can be deducted.
    pub(crate) quantity: Option<i64>,
    pub(crate) warehouse: String,
    pub(crate) retry_count: i32,
    pub(crate) next_retry_at: Option<OffsetDateTime>,
    /// While it is being processed: until when whoever does counts as alive.
    pub(crate) lease_until: Option<OffsetDateTime>,
    pub(crate) deducted_at: Option<OffsetDateTime>,
    pub(crate) completed_at: Option<OffsetDateTime>,
    pub(crate) error_message: Option<String>,
    pub(crate) version: i64,
    pub(crate) created_at: OffsetDateTime,
}

impl Operation {
    /// True when its units have still to be moved.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Pending) && self.deducted_at.is_none()
    }

    /// True when a person must say whether units of a shipped order return.
    pub(crate) const fn is_asked(&self) -> bool {
        matches!(self.kind, Kind::Refund) && self.is_open()
    }

    /// What is told about it.
    pub(crate) fn fact(&self) -> OperationEvent {
        OperationEvent {
            operation_id: self.id,
            operation_type: self.kind.word().to_owned(),
            user_id: self.user_id.clone(),
            token_id: self.token_id,
            order_id: self.order_id.clone(),
            line_item_id: self.line_item_id.clone(),
            sku: self.sku.as_ref().map(ToString::to_string),
            warehouse: self.warehouse.clone(),
            quantity: self.quantity,
            error: self.error_message.clone(),
            version: self.version,
        }
    }
}
