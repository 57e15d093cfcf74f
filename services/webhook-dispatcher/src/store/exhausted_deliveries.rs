//! Deliveries that fail for good.

use diesel::dsl::SqlTypeOf;
use diesel::sql_types::{Array, Int4, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{webhook_deliveries, webhook_subscriptions};

/// A delivery that is about to fail for good, with the owner of its subscription.
#[derive(Debug, QueryableByName)]
pub(crate) struct Exhausted {
    #[diesel(embed)]
    pub(crate) delivery: ExhaustedDelivery,
    #[diesel(sql_type = SqlTypeOf<webhook_subscriptions::owner>)]
    pub(crate) owner: Option<String>,
}

/// A delivery that is about to fail for good.
#[derive(Debug, QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
pub(crate) struct ExhaustedDelivery {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) event_type: String,
}

/// Locks, in the order of their ids, those of these deliveries that are still claimed as given and whose failure is
/// published. The failure of a delivery of a `webhook.*` event is not: such events would never end.
pub(crate) async fn lock(
    conn: &mut pg::Connection,
    (ids, claims): (Vec<Uuid>, Vec<i32>),
) -> Result<Vec<Exhausted>, pg::Error> {
    let statement = sql_query(
        "SELECT d.id, d.message_id, d.subscription_id, d.event_type, s.owner \
         FROM unnest($1, $2) AS u (id, claim) JOIN webhook_deliveries d ON d.id = u.id AND d.claim = u.claim \
         JOIN webhook_subscriptions s ON s.id = d.subscription_id \
         WHERE d.status = 'delivering' AND d.event_type NOT LIKE 'webhook.%' AND s.deleted_at IS NULL \
         ORDER BY d.id FOR UPDATE OF d",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Int4>, _>(claims);
    Ok(statement.load(conn).await?)
}
