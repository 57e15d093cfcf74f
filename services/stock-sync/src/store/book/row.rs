//! An operation's row.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use domain::{Sku, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::operation::{Kind, Operation, Status};

const COLUMNS: [&str; 18] = [
    "id",
    "token_id",
    "user_id",
    "order_id",
    "line_item_id",
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
pub(crate) struct OperationRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    token_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    user_id: Option<String>,
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Text)]
    line_item_id: String,
    #[diesel(sql_type = Text)]
    operation_type: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    sku: Option<String>,
    #[diesel(sql_type = BigInt)]
    quantity: i64,
    #[diesel(sql_type = Text)]
    warehouse: String,
    #[diesel(sql_type = Int4)]
    retry_count: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_retry_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    lease_until: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    deducted_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    completed_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    error_message: Option<String>,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Timestamptz)]
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
