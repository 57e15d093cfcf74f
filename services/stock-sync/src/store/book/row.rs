//! An operation's row.

use diesel::QueryableByName;
use domain::{Sku, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::operation::{Kind, Operation, Status};
use crate::store::schema::pending_stock_operations;

const COLUMNS: [&str; 19] = [
    "id",
    "token_id",
    "user_id",
    "order_id",
    "line_item_id",
    "generation",
    "operation_type",
    "status",
    "sku",
    "quantity",
    "warehouse",
    "retry_count",
    "next_retry_at",
    "lease_until",
    "deducted_at",
    "completed_at",
    "error_message",
    "version",
    "created_at",
];

/// An operation as it stands in the table.
#[derive(QueryableByName)]
#[diesel(table_name = pending_stock_operations)]
pub(crate) struct OperationRow {
    id: Uuid,
    token_id: Option<Uuid>,
    user_id: Option<String>,
    order_id: String,
    line_item_id: String,
    generation: i64,
    operation_type: String,
    status: String,
    sku: Option<String>,
    quantity: Option<i64>,
    warehouse: String,
    retry_count: i32,
    next_retry_at: Option<OffsetDateTime>,
    lease_until: Option<OffsetDateTime>,
    deducted_at: Option<OffsetDateTime>,
    completed_at: Option<OffsetDateTime>,
    error_message: Option<String>,
    version: i64,
    created_at: OffsetDateTime,
}

impl OperationRow {
    /// The columns it is made of, of the table called `alias`.
    pub(crate) fn columns(alias: &str) -> String {
        COLUMNS.map(|column| format!("{alias}.{column}")).join(", ")
    }
}

impl TryFrom<OperationRow> for Operation {
    type Error = pg::Error;

    fn try_from(row: OperationRow) -> Result<Self, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("pending_stock_operations", row.id, column);
        let sku = row.sku.as_deref().map(Sku::parse).transpose();
        Ok(Self {
            kind: Kind::read(&row.operation_type).ok_or_else(|| corrupt("operation_type"))?,
            status: Status::read(&row.status).ok_or_else(|| corrupt("status"))?,
            sku: sku.map_err(|_invalid| corrupt("sku"))?,
            id: row.id,
            token_id: row.token_id.map(TokenId::from),
            user_id: row.user_id,
            order_id: row.order_id.into(),
            line_item_id: row.line_item_id,
            generation: row.generation,
            quantity: row.quantity,
            warehouse: row.warehouse,
            retry_count: row.retry_count,
            next_retry_at: row.next_retry_at,
            lease_until: row.lease_until,
            deducted_at: row.deducted_at,
            completed_at: row.completed_at,
            error_message: row.error_message,
            version: row.version,
            created_at: row.created_at,
        })
    }
}
