//! `webhook_deliveries` and `delivery_attempts`, read.

use diesel::pg::Pg;
use diesel::prelude::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper,
};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DeliveryId, SubscriptionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::{delivery_attempts, webhook_deliveries};
use crate::domain::delivery::{Status, Trigger};

/// A delivery.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) status: Status,
    pub(crate) ordering_key: Option<String>,
    pub(crate) trigger: Trigger,
    /// Whether it waits for an earlier delivery of its key.
    pub(crate) is_blocked: bool,
    pub(crate) attempts: i32,
    /// Time of the next request, if known.
    pub(crate) sent_next_at: Option<OffsetDateTime>,
    pub(crate) response_status: Option<i32>,
    pub(crate) response_body: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) delivered_at: Option<OffsetDateTime>,
    pub(crate) created_at: OffsetDateTime,
}

#[derive(QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
struct DeliveryRow {
    id: Uuid,
    message_id: Uuid,
    subscription_id: Uuid,
    event_type: String,
    status: String,
    ordering_key: Option<String>,
    trigger: String,
    attempts: i32,
    response_status: Option<i32>,
    response_body: Option<String>,
    error_message: Option<String>,
    delivered_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

/// A row of [`COLUMNS`].
#[derive(QueryableByName)]
struct ListedRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(sql_type = Bool)]
    is_blocked: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    sent_next_at: Option<OffsetDateTime>,
}

impl TryFrom<ListedRow> for Delivery {
    type Error = pg::Error;

    fn try_from(ListedRow { delivery: row, is_blocked, sent_next_at }: ListedRow) -> Result<Self, pg::Error> {
        let trigger = Trigger::parse(&row.trigger);
        Ok(Self {
            id: row.id,
            message_id: row.message_id,
            subscription_id: row.subscription_id,
            event_type: row.event_type,
            status: status(row.id, &row.status)?,
            ordering_key: row.ordering_key,
            trigger: trigger.ok_or_else(|| pg::Error::corrupt("webhook_deliveries", row.id, "trigger"))?,
            is_blocked,
            attempts: row.attempts,
            sent_next_at,
            response_status: row.response_status,
            response_body: row.response_body,
            error_message: row.error_message,
            delivered_at: row.delivered_at,
            created_at: row.created_at,
        })
    }
}

/// Parses the status of this delivery.
pub(super) fn status(delivery: Uuid, stored: &str) -> Result<Status, pg::Error> {
    Status::parse(stored).ok_or_else(|| pg::Error::corrupt("webhook_deliveries", delivery, "status"))
}

/// An attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) attempt: i32,
    pub(crate) attempted_at: OffsetDateTime,
    pub(crate) duration_ms: i32,
    pub(crate) trigger: Trigger,
    pub(crate) ip: Option<String>,
    pub(crate) response_headers: Option<Value>,
    pub(crate) response_status: Option<i32>,
    pub(crate) response_body: Option<String>,
    pub(crate) error_class: Option<String>,
    pub(crate) error_message: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = delivery_attempts, check_for_backend(Pg))]
struct AttemptRow {
    delivery_id: Uuid,
    attempt: i32,
    attempted_at: OffsetDateTime,
    duration_ms: i32,
    trigger: String,
    ip: Option<String>,
    response_headers: Option<Value>,
    response_status: Option<i32>,
    response_body: Option<String>,
    error_class: Option<String>,
    error_message: Option<String>,
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = pg::Error;

    fn try_from(row: AttemptRow) -> Result<Self, pg::Error> {
        let trigger = Trigger::parse(&row.trigger).ok_or_else(|| {
            let id = format!("{}/{}", row.delivery_id, row.attempt);
            pg::Error::corrupt("delivery_attempts", id, "trigger")
        })?;
        Ok(Self {
            attempt: row.attempt,
            attempted_at: row.attempted_at,
            duration_ms: row.duration_ms,
            trigger,
            ip: row.ip,
            response_headers: row.response_headers,
            response_status: row.response_status,
            response_body: row.response_body,
            error_class: row.error_class,
            error_message: row.error_message,
        })
    }
}

/// A selection of a subscription's deliveries.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    pub(crate) event_type: Option<String>,
    /// Created at this time or later.
    #[serde(with = "domain::instant::option")]
    pub(crate) from: Option<OffsetDateTime>,
    /// Created before this time.
    #[serde(with = "domain::instant::option")]
    pub(crate) to: Option<OffsetDateTime>,
    /// Of this event.
    pub(crate) message: Option<Uuid>,
}

/// A delivery's columns, whether it waits for an earlier one, and the time of its next request. That time is not before its
/// endpoint's open circuit closes, nor before its turn within a limited rate, of which at most a thousand places are
/// counted. It is null for a delivery that is blocked or whose subscription is not active. A time in the past becomes now.
const COLUMNS: &str = "d.*, w.is_blocked, \
     CASE WHEN d.status = 'pending' AND s.is_active AND NOT w.is_blocked THEN greatest(d.next_attempt_at, now(), \
         CASE WHEN s.circuit_state = 'open' THEN s.circuit_until END, \
         CASE WHEN s.rate_limit_per_second IS NOT NULL THEN s.rate_used_until \
             + (1 + (SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries e \
                     WHERE e.subscription_id = d.subscription_id AND e.ordering_key IS NULL \
                         AND e.status IN ('pending', 'delivering') AND e.next_attempt_at < d.next_attempt_at \
                     LIMIT 1000) AS ahead)) * interval '1 second' / s.rate_limit_per_second END) END AS sent_next_at \
     FROM webhook_deliveries d JOIN webhook_subscriptions s ON s.id = d.subscription_id \
     CROSS JOIN LATERAL (SELECT d.status = 'pending' AND d.ordering_key IS NOT NULL AND EXISTS ( \
         SELECT 1 FROM webhook_deliveries e WHERE e.subscription_id = d.subscription_id \
             AND e.ordering_key = d.ordering_key AND e.place < d.place AND e.status IN ('pending', 'delivering') \
     ) AS is_blocked) w";

/// Deliveries of a subscription, newest first. The statement holds only the conditions that are asked for, so that the
/// planner finds the matching index.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    subscription_id: SubscriptionId,
    filter: &Filter,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Delivery>, pg::Error> {
    let mut statement = sql_query(format!(
        "SELECT {COLUMNS} WHERE d.subscription_id = $1 AND ($2 IS NULL OR d.event_type = $2)"
    ))
    .into_boxed::<Pg>()
    .bind::<SqlUuid, _>(subscription_id.as_uuid())
    .bind::<Nullable<Text>, _>(filter.event_type.clone());
    let mut bound = 2;
    let mut next = || {
        bound += 1;
        bound
    };
    if let Some(status) = filter.status {
        statement = statement.sql(format!(" AND d.status = '{}'", status.as_str()));
    }
    if matches!(filter.status, Some(Status::Pending | Status::Delivering)) {
        // True of every row: it lets the planner combine the two indexes of unfinished deliveries.
        statement = statement.sql(" AND (d.ordering_key IS NULL OR d.ordering_key IS NOT NULL)");
    }
    if let Some(message) = filter.message {
        statement = statement.sql(format!(" AND d.message_id = ${}", next())).bind::<SqlUuid, _>(message);
    }
    for (sign, moment) in [(">=", filter.from), ("<", filter.to)] {
        if let Some(moment) = moment {
            let place = next();
            statement =
                statement.sql(format!(" AND d.created_at {sign} ${place}")).bind::<Timestamptz, _>(moment);
        }
    }
    if let Some((moment, id)) = after {
        let (first, second) = (next(), next());
        statement = statement
            .sql(format!(" AND (d.created_at, d.id) < (${first}, ${second})"))
            .bind::<Timestamptz, _>(moment)
            .bind::<SqlUuid, _>(id);
    }
    let statement = statement
        .sql(format!(" ORDER BY d.created_at DESC, d.id DESC LIMIT ${}", next()))
        .bind::<BigInt, _>(limit);
    let rows: Vec<ListedRow> = statement.load(conn).await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

pub(crate) async fn find(conn: &mut pg::Connection, id: DeliveryId) -> Result<Option<Delivery>, pg::Error> {
    let statement = sql_query(format!("SELECT {COLUMNS} WHERE d.id = $1")).bind::<SqlUuid, _>(id.as_uuid());
    let row: Option<ListedRow> = statement.get_result(conn).await.optional()?;
    row.map(Delivery::try_from).transpose()
}

/// The attempts of a delivery, oldest first.
pub(crate) async fn attempts(conn: &mut pg::Connection, id: DeliveryId) -> Result<Vec<Attempt>, pg::Error> {
    let rows: Vec<AttemptRow> = delivery_attempts::table
        .filter(delivery_attempts::delivery_id.eq(id.as_uuid()))
        .order((delivery_attempts::attempt, delivery_attempts::attempted_at))
        .select(AttemptRow::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(Attempt::try_from).collect()
}
