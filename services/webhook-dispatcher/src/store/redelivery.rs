//! Deliveries that are retried, replayed or cancelled.
//!
//! A delivery whose payload is deleted cannot be sent again: a transaction that retries one locks its message, so that the
//! retention does not delete the payload meanwhile.

use diesel::dsl::SqlTypeOf;
use diesel::prelude::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DeliveryId, SubscriptionId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::deliveries::{self, Filter};
use super::schema::{webhook_deliveries, webhook_subscriptions};
use crate::domain::delivery::{Status, Trigger};

const EXPIRED: &str = "the payload is kept no longer";

/// What decides whether a delivery may be retried or cancelled.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) status: Status,
    pub(crate) has_payload: bool,
    /// Whether the subscription is active.
    pub(crate) is_active: bool,
}

#[derive(QueryableByName)]
struct LockedRow {
    #[diesel(sql_type = SqlTypeOf<webhook_deliveries::status>)]
    status: String,
    #[diesel(sql_type = Bool)]
    has_payload: bool,
    #[diesel(sql_type = SqlTypeOf<webhook_subscriptions::is_active>)]
    is_active: bool,
}

/// The result of one step.
#[derive(Debug, Default, QueryableByName)]
pub(crate) struct Step {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_id: Option<Uuid>,
    /// Deliveries replayed or cancelled.
    #[diesel(sql_type = BigInt)]
    pub(crate) changed: i64,
    /// Deliveries without a payload.
    #[diesel(sql_type = BigInt)]
    pub(crate) expired: i64,
}

/// A position among a subscription's deliveries, oldest first.
pub(crate) type At = (OffsetDateTime, Uuid);

/// The position before all of them.
pub(crate) const FIRST: At = (OffsetDateTime::UNIX_EPOCH, Uuid::nil());

impl Step {
    /// The last delivery of the step; none when there are no more.
    pub(crate) fn last(&self) -> Option<At> {
        self.last_at.zip(self.last_id)
    }
}

#[derive(QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
struct Found {
    id: Uuid,
    created_at: OffsetDateTime,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Locks a delivery and its message; none when there is no such delivery.
pub(crate) async fn lock(conn: &mut pg::Connection, id: DeliveryId) -> Result<Option<Locked>, pg::Error> {
    let statement = sql_query(
        "SELECT d.status, m.body IS NOT NULL AS has_payload, s.is_active FROM webhook_deliveries d \
         JOIN messages m ON m.id = d.message_id JOIN webhook_subscriptions s ON s.id = d.subscription_id \
         WHERE d.id = $1 AND s.deleted_at IS NULL FOR UPDATE OF d FOR SHARE OF m",
    )
    .bind::<SqlUuid, _>(id.as_uuid());
    let Some(row) = statement.get_result::<LockedRow>(conn).await.optional()? else { return Ok(None) };
    let status = deliveries::status(id.as_uuid(), &row.status)?;
    Ok(Some(Locked { status, has_payload: row.has_payload, is_active: row.is_active }))
}

/// Makes a locked delivery of this status due now. In a final status it begins a new run of attempts.
pub(crate) async fn retry(
    conn: &mut pg::Connection,
    id: DeliveryId,
    current: Status,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    use webhook_deliveries::{
        attempts, attempts_before, error_message, next_attempt_at, restarted_at, status, trigger, updated_at,
    };
    let new_run =
        current.is_final().then(|| (attempts_before.eq(attempts), error_message.eq(None::<String>)));
    diesel::update(webhook_deliveries::table.find(id.as_uuid()))
        .set((
            status.eq(Status::Pending.as_str()),
            next_attempt_at.eq(now),
            restarted_at.eq(now),
            trigger.eq(Trigger::Manual.as_str()),
            updated_at.eq(now),
            new_run,
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Cancels a locked delivery. The outcome of an attempt in flight is not recorded.
pub(crate) async fn cancel(
    conn: &mut pg::Connection,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    use webhook_deliveries::{claim, error_message, next_attempt_at, status, updated_at};
    diesel::update(webhook_deliveries::table.find(id.as_uuid()))
        .set((
            status.eq(Status::Cancelled.as_str()),
            next_attempt_at.eq(None::<OffsetDateTime>),
            claim.eq(claim + 1),
            error_message.eq("called off by its owner"),
            updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// The deliveries of a replay: those that ended before it was requested. A replay that starts over therefore does not repeat
/// what it has replayed itself.
const CHOSEN: &str = "subscription_id = $1 AND updated_at < $2 AND status = ANY($3) \
    AND ($4 IS NULL OR event_type = $4) AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6) \
    AND ($7 IS NULL OR message_id = $7)";

/// The final statuses that the filter selects.
fn statuses(filter: &Filter) -> Vec<&'static str> {
    let selected =
        |status: &Status| status.is_final() && filter.status.is_none_or(|wanted| wanted == *status);
    Status::ALL.into_iter().filter(selected).map(Status::as_str).collect()
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

/// Counts the deliveries of a replay that was requested at `asked_at`.
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

/// Replays the next `limit` deliveries, the oldest first. Those without a payload become skipped, unless they succeeded.
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
    // Another transaction may have retried some of them before they were locked.
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

/// Cancels the next `limit` deliveries of a removed subscription.
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
