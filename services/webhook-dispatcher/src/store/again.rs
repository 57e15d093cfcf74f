//! Deliveries set going again, and called off.
//!
//! A delivery whose payload is kept no longer cannot be sent again: whoever sets one going holds its message, so that
//! the payload does not go in between.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{DeliveryId, SubscriptionId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::deliveries::{Filter, Status};

const EXPIRED: &str = "the payload is kept no longer";

/// What decides whether a delivery may be set going.
#[derive(Debug, QueryableByName)]
pub(crate) struct Held {
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Bool)]
    pub(crate) has_payload: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
}

/// How one set ended.
#[derive(Debug, Default, QueryableByName)]
pub(crate) struct Step {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_id: Option<Uuid>,
    /// Set going, or called off.
    #[diesel(sql_type = BigInt)]
    pub(crate) changed: i64,
    /// Without a payload.
    #[diesel(sql_type = BigInt)]
    pub(crate) expired: i64,
}

/// A place among a subscription's deliveries, oldest first.
pub(crate) type At = (OffsetDateTime, Uuid);

/// Before all of them.
pub(crate) const FIRST: At = (OffsetDateTime::UNIX_EPOCH, Uuid::nil());

impl Step {
    /// The last that was looked at; none when there are no more.
    pub(crate) fn last(&self) -> Option<At> {
        self.last_at.zip(self.last_id)
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: OffsetDateTime,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A delivery and its message, both locked; none when there is no such delivery.
pub(crate) async fn hold(conn: &mut pg::Connection, id: DeliveryId) -> Result<Option<Held>, pg::Error> {
    let statement = sql_query(
        "SELECT d.status, m.body IS NOT NULL AS has_payload, s.is_active FROM webhook_deliveries d \
         JOIN messages m ON m.id = d.message_id JOIN webhook_subscriptions s ON s.id = d.subscription_id \
         WHERE d.id = $1 AND s.deleted_at IS NULL FOR UPDATE OF d FOR SHARE OF m",
    )
    .bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.get_result(conn).await.optional()?)
}

/// Sets a held delivery going now. One that had ended begins a new run of attempts.
pub(crate) async fn retry(
    conn: &mut pg::Connection,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = $2, restarted_at = $2, trigger = 'manual', \
             attempts_before = CASE WHEN status = 'pending' THEN attempts_before ELSE attempts END, \
             error_message = CASE WHEN status = 'pending' THEN error_message END, updated_at = $2 WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Calls a held delivery off. What an attempt under way comes to is not written down any more.
pub(crate) async fn cancel(
    conn: &mut pg::Connection,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE webhook_deliveries SET status = 'cancelled', next_attempt_at = NULL, claim = claim + 1, \
             error_message = 'called off by its owner', updated_at = $2 WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// What every replay of one subscription looks at: those that had ended before it was asked for, so that what it has
/// set going itself is never set going by it again, however often it begins anew.
const CHOSEN: &str = "subscription_id = $1 AND updated_at < $2 AND status = ANY($3) \
    AND ($4 IS NULL OR event_type = $4) AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6) \
    AND ($7 IS NULL OR message_id = $7)";

/// The statuses a replay may take: none that has not ended.
fn statuses(filter: &Filter) -> Vec<&'static str> {
    let ended = [Status::Success, Status::Failed, Status::Skipped, Status::Cancelled];
    let wanted = ended.into_iter().filter(|status| filter.status.is_none_or(|wanted| wanted == *status));
    wanted.map(Status::as_str).collect()
}

macro_rules! chosen {
    ($statement:expr, $subscription:expr, $asked:expr, $filter:expr) => {
        sql_query($statement)
            .bind::<SqlUuid, _>($subscription.as_uuid())
            .bind::<Timestamptz, _>($asked)
            .bind::<Array<Text>, _>(statuses($filter))
            .bind::<Nullable<Text>, _>($filter.event_type.clone())
            .bind::<Nullable<Timestamptz>, _>($filter.from)
            .bind::<Nullable<Timestamptz>, _>($filter.to)
            .bind::<Nullable<SqlUuid>, _>($filter.message)
    };
}

/// How many deliveries a replay that was asked for then would set going.
pub(crate) async fn count(
    conn: &mut pg::Connection,
    subscription_id: SubscriptionId,
    filter: &Filter,
    asked_at: OffsetDateTime,
) -> Result<i64, pg::Error> {
    let statement = format!("SELECT count(*) FROM webhook_deliveries WHERE {CHOSEN}");
    let counted: Count = chosen!(statement, subscription_id, asked_at, filter).get_result(conn).await?;
    Ok(counted.count)
}

/// Sets the next so many going, the oldest first. Those without a payload are written down as skipped, unless they had
/// arrived.
pub(crate) async fn replay(
    conn: &mut pg::Connection,
    subscription_id: SubscriptionId,
    filter: &Filter,
    asked_at: OffsetDateTime,
    after: At,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Step, pg::Error> {
    let statement = format!(
        "SELECT d.id, d.created_at FROM webhook_deliveries d JOIN messages m ON m.id = d.message_id \
         WHERE d.id IN (SELECT id FROM webhook_deliveries WHERE {CHOSEN} AND (created_at, id) > ($8, $9) \
             ORDER BY created_at, id LIMIT $10) \
         ORDER BY d.created_at, d.id FOR UPDATE OF d FOR SHARE OF m"
    );
    let found: Vec<Found> = chosen!(statement, subscription_id, asked_at, filter)
        .bind::<Timestamptz, _>(after.0)
        .bind::<SqlUuid, _>(after.1)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
    let Some(last) = found.last().map(|it| (it.created_at, it.id)) else { return Ok(Step::default()) };
    let ids: Vec<Uuid> = found.into_iter().map(|it| it.id).collect();
    // Another may have set some of them going before they were locked.
    let statement = sql_query(
        "WITH again AS ( \
             UPDATE webhook_deliveries d SET updated_at = greatest($2, $3), \
                 status = CASE WHEN m.body IS NOT NULL THEN 'pending' WHEN d.status = 'success' THEN 'success' ELSE 'skipped' END, \
                 next_attempt_at = CASE WHEN m.body IS NOT NULL THEN $3 END, \
                 restarted_at = CASE WHEN m.body IS NOT NULL THEN $3 ELSE d.restarted_at END, \
                 trigger = CASE WHEN m.body IS NOT NULL THEN 'replay' ELSE d.trigger END, \
                 attempts_before = CASE WHEN m.body IS NOT NULL THEN d.attempts ELSE d.attempts_before END, \
                 error_message = CASE WHEN m.body IS NULL AND d.status <> 'success' THEN $4 END \
             FROM messages m WHERE d.id = ANY($1) AND m.id = d.message_id AND d.updated_at < $2 \
             RETURNING m.body IS NOT NULL AS is_sent) \
         SELECT $5 AS last_at, $6 AS last_id, count(*) FILTER (WHERE is_sent) AS changed, \
             count(*) FILTER (WHERE NOT is_sent) AS expired FROM again",
    )
    .bind::<Array<SqlUuid>, _>(&ids)
    .bind::<Timestamptz, _>(asked_at)
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(EXPIRED)
    .bind::<Timestamptz, _>(last.0)
    .bind::<SqlUuid, _>(last.1);
    Ok(statement.get_result(conn).await?)
}

/// Calls off the next so many deliveries of a subscription that was removed.
pub(crate) async fn cancel_all(
    conn: &mut pg::Connection,
    subscription_id: SubscriptionId,
    after: At,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Step, pg::Error> {
    let statement = sql_query(
        "WITH next AS ( \
             SELECT id, created_at FROM webhook_deliveries \
             WHERE subscription_id = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4), \
         held AS ( \
             SELECT d.id FROM webhook_deliveries d JOIN next USING (id) \
             WHERE d.status IN ('pending', 'delivering') ORDER BY d.id FOR UPDATE OF d), \
         off AS ( \
             UPDATE webhook_deliveries d SET status = 'cancelled', next_attempt_at = NULL, claim = d.claim + 1, \
                 error_message = 'the subscription was deleted', updated_at = $5 FROM held WHERE d.id = held.id \
             RETURNING 1) \
         SELECT (SELECT max(created_at) FROM next) AS last_at, \
             (SELECT id FROM next ORDER BY created_at DESC, id DESC LIMIT 1) AS last_id, \
             (SELECT count(*) FROM off) AS changed, 0::bigint AS expired",
    )
    .bind::<SqlUuid, _>(subscription_id.as_uuid())
    .bind::<Timestamptz, _>(after.0)
    .bind::<SqlUuid, _>(after.1)
    .bind::<BigInt, _>(limit)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}
