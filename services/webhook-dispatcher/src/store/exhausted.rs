//! Deliveries that are given up.

use diesel::sql_types::{Array, Int4, Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// A delivery that is about to be given up; its row is locked.
#[derive(Debug, QueryableByName)]
pub(crate) struct GivenUp {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) message_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) subscription_id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) event_type: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) owner: Option<String>,
}

/// Of these deliveries, each with the claim it was tried under, those that are still in these hands and whose end others
/// are to be told of, locked in the order of their ids. Nobody is told of the end of what only told of webhooks, or
/// tested one: there would be no end to it.
pub(crate) async fn hold(
    conn: &mut pg::Connection,
    (ids, claims): (Vec<Uuid>, Vec<i32>),
) -> Result<Vec<GivenUp>, pg::Error> {
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
