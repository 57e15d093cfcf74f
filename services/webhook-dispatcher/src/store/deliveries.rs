//! Reading deliveries and attempts back.

use diesel::sql_types::{BigInt, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{DeliveryId, SubscriptionId};
use time::OffsetDateTime;
use uuid::Uuid;

/// A delivery.
#[derive(Debug, QueryableByName)]
pub(crate) struct Delivery {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) message_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) subscription_id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) event_type: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Int4)]
    pub(crate) attempts: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) next_attempt_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) response_status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) response_body: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_message: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) delivered_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
}

/// One try.
#[derive(Debug, QueryableByName)]
pub(crate) struct Attempt {
    #[diesel(sql_type = Int4)]
    pub(crate) attempt: i32,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) attempted_at: OffsetDateTime,
    #[diesel(sql_type = Int4)]
    pub(crate) duration_ms: i32,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) response_status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) response_body: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_class: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_message: Option<String>,
}

/// Which deliveries of a subscription.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

/// Deliveries of a subscription, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    subscription_id: SubscriptionId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Delivery>, pg::Error> {
    let (after_date, after_id) = filter.after.unzip();
    let statement = sql_query(
        "SELECT * FROM webhook_deliveries WHERE subscription_id = $1 AND ($2 IS NULL OR status = $2) \
             AND ($3 IS NULL OR event_type = $3) AND ($4 IS NULL OR (created_at, id) < ($4, $5)) \
         ORDER BY created_at DESC, id DESC LIMIT $6",
    )
    .bind::<SqlUuid, _>(subscription_id.as_uuid())
    .bind::<Nullable<Text>, _>(&filter.status)
    .bind::<Nullable<Text>, _>(&filter.event_type)
    .bind::<Nullable<Timestamptz>, _>(after_date)
    .bind::<Nullable<SqlUuid>, _>(after_id)
    .bind::<BigInt, _>(limit);
    Ok(statement.load(conn).await?)
}

pub(crate) async fn find(conn: &mut pg::Connection, id: DeliveryId) -> Result<Option<Delivery>, pg::Error> {
    let statement =
        sql_query("SELECT * FROM webhook_deliveries WHERE id = $1").bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.get_result(conn).await.optional()?)
}

/// The tries of a delivery, first first.
pub(crate) async fn attempts(conn: &mut pg::Connection, id: DeliveryId) -> Result<Vec<Attempt>, pg::Error> {
    let statement = sql_query("SELECT * FROM delivery_attempts WHERE delivery_id = $1 ORDER BY id")
        .bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.load(conn).await?)
}
