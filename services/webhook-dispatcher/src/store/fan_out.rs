//! One transaction from events to deliveries.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use diesel::pg::Pg;
use diesel::prelude::{
    ExpressionMethods, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper,
};
use diesel::sql_query;
use diesel::sql_types::{Array, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::raw_json::RawJson;
use super::schema::{messages, webhook_deliveries, webhook_subscriptions};
use crate::domain::delivery::Trigger;
use crate::domain::health::CircuitState;

/// An event as it is sent.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) body: Bytes,
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
    pub(crate) occurred_at: OffsetDateTime,
}

/// A subscription as far as fan-out needs it.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(Pg))]
pub(crate) struct Interest {
    pub(crate) id: Uuid,
    /// The user it belongs to: it gets that user's events only.
    pub(crate) owner: Option<String>,
    pub(crate) events: Vec<String>,
    pub(crate) is_active: bool,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) timeout_seconds: i32,
    pub(crate) ordered: bool,
    pub(crate) ordering_key: Option<String>,
    pub(crate) filter: Option<RawJson>,
    rate_limit_per_second: Option<i32>,
    circuit_state: String,
}

impl Interest {
    /// Whether it has a limited rate or a circuit that is not closed: then only claims decide what is sent.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate_limit_per_second.is_some() || self.circuit_state != CircuitState::Closed.as_str()
    }
}

/// A delivery to insert.
#[derive(Debug)]
pub(crate) struct NewDelivery {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) kind: String,
    pub(crate) timeout_seconds: i32,
    /// As [`Interest::is_limited`].
    pub(crate) is_limited: bool,
    pub(crate) trigger: Trigger,
    /// Deliveries of one key are sent one after another.
    pub(crate) ordering_key: Option<String>,
    /// End of this process's lease; none when it has no room and any replica may claim the delivery.
    pub(crate) leased_until: Option<OffsetDateTime>,
    /// Why it is not delivered.
    pub(crate) skipped: Option<String>,
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) message: Message,
    pub(crate) deliveries: Vec<NewDelivery>,
    /// Subscriptions whose filter excludes it.
    pub(crate) filtered: Vec<Uuid>,
}

/// All subscriptions. Inactive ones are included: their owners see the events that they missed.
pub(crate) async fn interests(conn: &mut pg::Connection) -> Result<Vec<Interest>, pg::Error> {
    let interests = webhook_subscriptions::table
        .filter(webhook_subscriptions::deleted_at.is_null())
        .select(Interest::as_select())
        .load(conn)
        .await?;
    Ok(interests)
}

/// Inserts events and their deliveries, and counts the filtered ones. Returns nothing if all deliveries were inserted, else
/// the ids of those that were.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    plans: &[Plan],
    now: OffsetDateTime,
) -> Result<Option<HashSet<Uuid>>, pg::Error> {
    let messages: Vec<&Message> = plans.iter().map(|it| &it.message).collect();
    let deliveries: Vec<&NewDelivery> = plans.iter().flat_map(|it| &it.deliveries).collect();
    let filtered: Vec<Uuid> = plans.iter().flat_map(|it| &it.filtered).copied().collect();
    let are_new = insert_messages(conn, &messages, now).await?;
    let written = insert_deliveries(conn, &deliveries, are_new, now).await?;
    if filtered.is_empty() {
        return Ok(written);
    }
    // In the order of ids, so that two transactions cannot wait for each other.
    sql_query(
        "INSERT INTO delivery_totals (subscription_id, outcome, count) \
         SELECT id, 'filtered', count(*) FROM unnest($1) AS u (id) GROUP BY id ORDER BY id \
         ON CONFLICT (subscription_id, outcome) DO UPDATE SET count = delivery_totals.count + excluded.count",
    )
    .bind::<Array<SqlUuid>, _>(filtered)
    .execute(conn)
    .await?;
    Ok(written)
}

/// Inserts events. Returns whether all of them are new.
async fn insert_messages(
    conn: &mut pg::Connection,
    messages: &[&Message],
    now: OffsetDateTime,
) -> Result<bool, pg::Error> {
    if write_messages(conn, messages, now).await? == messages.len() {
        return Ok(true);
    }
    // Some exist already. Their rows are locked, so that the retention deletes none before its deliveries are inserted. One that
    // it has just deleted is inserted again.
    let ids: Vec<Uuid> = messages.iter().map(|it| it.id).collect();
    let locked: Vec<Uuid> = messages::table
        .filter(messages::id.eq_any(ids))
        .order(messages::id)
        .select(messages::id)
        .for_key_share()
        .load(conn)
        .await?;
    if locked.len() < messages.len() {
        write_messages(conn, messages, now).await?;
    }
    Ok(false)
}

/// Inserts the events that are missing, and returns their number.
async fn write_messages(
    conn: &mut pg::Connection,
    messages: &[&Message],
    now: OffsetDateTime,
) -> Result<usize, pg::Error> {
    if messages.is_empty() {
        return Ok(0);
    }
    let statement = sql_query(
        "INSERT INTO messages (id, type, subject, body, occurred_at, traceparent, tracestate, received_at) \
         SELECT u.*, $8 FROM unnest($1, $2, $3, $4, $5, $6, $7) AS u ON CONFLICT (id) DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(messages.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(messages.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(messages.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bytea>, _>(messages.iter().map(|it| it.body.as_ref()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(messages.iter().map(|it| it.occurred_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(messages.iter().map(|it| it.traceparent.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(messages.iter().map(|it| it.tracestate.as_deref()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    Ok(pg::prepared(statement).execute(conn).await?)
}

#[derive(QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
struct Inserted {
    id: Uuid,
}

const INSERT: &str = "INSERT INTO webhook_deliveries \
         (id, message_id, subscription_id, event_type, status, claim, next_attempt_at, error_message, ordering_key, \
          place, trigger, created_at, updated_at) \
     SELECT id, message_id, subscription_id, type, \
         CASE WHEN skipped IS NOT NULL THEN 'skipped' WHEN leased THEN 'delivering' ELSE 'pending' END, \
         leased::int, CASE WHEN skipped IS NULL THEN coalesce(until, $10) END, skipped, ordering_key, \
         CASE WHEN ordering_key IS NOT NULL THEN nextval('webhook_deliveries_place') END, trigger, $10, $10 \
     FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         AS u (id, message_id, subscription_id, type, leased, until, skipped, ordering_key, trigger)";

static INSERT_OTHERS: LazyLock<String> = LazyLock::new(|| {
    format!("{INSERT} ON CONFLICT ON CONSTRAINT webhook_deliveries_once DO NOTHING RETURNING id")
});

/// Inserts deliveries of existing messages, except those that exist for the same event and subscription. Ordered deliveries
/// get their places in the order given. New messages (`are_new`) have no deliveries yet: a plain insert is cheaper, because
/// it does not insert each row speculatively first.
async fn insert_deliveries(
    conn: &mut pg::Connection,
    deliveries: &[&NewDelivery],
    are_new: bool,
    now: OffsetDateTime,
) -> Result<Option<HashSet<Uuid>>, pg::Error> {
    if deliveries.is_empty() {
        return Ok(None);
    }
    let statement = if are_new { INSERT } else { &*INSERT_OTHERS };
    let statement = sql_query(statement)
        .bind::<Array<SqlUuid>, _>(deliveries.iter().map(|it| it.id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(deliveries.iter().map(|it| it.message_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(deliveries.iter().map(|it| it.subscription_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(deliveries.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(deliveries.iter().map(|it| it.leased_until.is_some()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(
            deliveries.iter().map(|it| it.leased_until).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            deliveries.iter().map(|it| it.skipped.as_deref()).collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            deliveries.iter().map(|it| it.ordering_key.as_deref()).collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(deliveries.iter().map(|it| it.trigger.as_str()).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now);
    if are_new {
        pg::prepared(statement).execute(conn).await?;
        return Ok(None);
    }
    let inserted: Vec<Inserted> = pg::prepared(statement).load(conn).await?;
    Ok(Some(inserted.into_iter().map(|row| row.id).collect()))
}
