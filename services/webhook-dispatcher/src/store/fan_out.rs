//! One transaction from events to deliveries.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use diesel::sql_types::{Array, Bool, Bytea, Int4, Json, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::raw_json::RawJson;

/// An event, as it will be sent.
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

/// Who wants what, as far as fanning out needs it.
#[derive(Debug, QueryableByName)]
pub(crate) struct Interest {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    /// The user it belongs to: it is told of that user's things only.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) owner: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub(crate) events: Vec<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) disabled_reason: Option<String>,
    #[diesel(sql_type = Int4)]
    pub(crate) timeout_seconds: i32,
    /// A rate, or a circuit that is not closed: what goes out is decided by claims alone.
    #[diesel(sql_type = Bool)]
    pub(crate) is_limited: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) ordered: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) ordering_key: Option<String>,
    #[diesel(sql_type = Nullable<Json>)]
    pub(crate) filter: Option<RawJson>,
}

/// A delivery to be written.
#[derive(Debug)]
pub(crate) struct NewDelivery {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) kind: String,
    pub(crate) timeout_seconds: i32,
    /// As [`Interest::is_limited`].
    pub(crate) is_limited: bool,
    /// `auto`, or `test`.
    pub(crate) trigger: &'static str,
    /// Of those with one key one goes out after another.
    pub(crate) ordering_key: Option<String>,
    /// Until when this process delivers it itself; none when it has no room and whoever has takes it.
    pub(crate) leased_until: Option<OffsetDateTime>,
    /// Why it is not delivered at all.
    pub(crate) skipped: Option<String>,
}

/// What a fact becomes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) message: Message,
    pub(crate) deliveries: Vec<NewDelivery>,
    /// Subscriptions whose filter leaves it out.
    pub(crate) filtered: Vec<Uuid>,
}

/// The subscriptions, those that are not active too: their owners are to see what they missed.
pub(crate) async fn interests(conn: &mut pg::Connection) -> Result<Vec<Interest>, pg::Error> {
    let statement = sql_query(
        "SELECT id, owner, events, is_active, disabled_reason, timeout_seconds, ordered, ordering_key, \
             filter, rate_limit_per_second IS NOT NULL OR circuit_state <> 'closed' AS is_limited \
         FROM webhook_subscriptions WHERE deleted_at IS NULL",
    );
    Ok(pg::prepared(statement).load(conn).await?)
}

/// Writes events, their deliveries, and how many were left out. Returns the ids of the deliveries that were written where
/// some were there already, by another id; nothing when all were written.
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
    // In the order of ids: two that count at once wait for each other and never in a circle.
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

/// Writes events; returns whether none of them was there before.
async fn insert_messages(
    conn: &mut pg::Connection,
    messages: &[&Message],
    now: OffsetDateTime,
) -> Result<bool, pg::Error> {
    if write_messages(conn, messages, now).await? == messages.len() {
        return Ok(true);
    }
    // Some were told before and are there already. Their rows are held, so that none goes before its deliveries are
    // written; one that went just now is written again.
    let ids: Vec<Uuid> = messages.iter().map(|it| it.id).collect();
    let statement = sql_query("SELECT 1 FROM messages WHERE id = ANY($1) ORDER BY id FOR KEY SHARE");
    if statement.bind::<Array<SqlUuid>, _>(ids).execute(conn).await? < messages.len() {
        write_messages(conn, messages, now).await?;
    }
    Ok(false)
}

/// Writes those that are not there, and returns how many that were.
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
struct Written {
    #[diesel(sql_type = SqlUuid)]
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

/// Writes deliveries of messages that are there; one there is already of an event and a subscription stays. Those that
/// keep an order are given their places as they stand here. Of messages that are new (`are_new`) there is none: then
/// each row is written once, where otherwise nothing may be seen of it before it is known to be the only one.
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
        .bind::<Array<Text>, _>(deliveries.iter().map(|it| it.trigger).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now);
    if are_new {
        pg::prepared(statement).execute(conn).await?;
        return Ok(None);
    }
    let written: Vec<Written> = pg::prepared(statement).load(conn).await?;
    Ok(Some(written.into_iter().map(|row| row.id).collect()))
}
