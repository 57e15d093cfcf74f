//! Reading deliveries and attempts back.

use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Bool, Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{DeliveryId, SubscriptionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
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
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) ordering_key: Option<String>,
    #[diesel(sql_type = Text)]
    pub(crate) trigger: String,
    /// An earlier one of its key has not ended.
    #[diesel(sql_type = Bool)]
    pub(crate) is_blocked: bool,
    #[diesel(sql_type = Int4)]
    pub(crate) attempts: i32,
    /// Time of the next request, if known.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) sent_next_at: Option<OffsetDateTime>,
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
    #[diesel(sql_type = Text)]
    pub(crate) trigger: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) ip: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub(crate) response_headers: Option<Value>,
    #[diesel(sql_type = Nullable<Int4>)]
    pub(crate) response_status: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) response_body: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_class: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_message: Option<String>,
}

/// A state a delivery may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Delivering,
    Success,
    Failed,
    Skipped,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pending, Self::Delivering, Self::Success, Self::Failed, Self::Skipped, Self::Cancelled];

    /// Reads the word in the table.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The word in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivering => "delivering",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which deliveries of a subscription.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    pub(crate) event_type: Option<String>,
    /// Made at this moment or later.
    #[serde(with = "domain::instant::option")]
    pub(crate) from: Option<OffsetDateTime>,
    /// Made before this moment.
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

/// Deliveries of a subscription, newest first. Only what is asked for stands in the statement, so that the planner
/// finds the index that fits.
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
        // True of every row: it lets the planner put the two indexes of what is open together.
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
    Ok(statement.load(conn).await?)
}

pub(crate) async fn find(conn: &mut pg::Connection, id: DeliveryId) -> Result<Option<Delivery>, pg::Error> {
    let statement = sql_query(format!("SELECT {COLUMNS} WHERE d.id = $1")).bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.get_result(conn).await.optional()?)
}

/// The tries of a delivery, first first.
pub(crate) async fn attempts(conn: &mut pg::Connection, id: DeliveryId) -> Result<Vec<Attempt>, pg::Error> {
    let statement =
        sql_query("SELECT * FROM delivery_attempts WHERE delivery_id = $1 ORDER BY attempt, attempted_at")
            .bind::<SqlUuid, _>(id.as_uuid());
    Ok(statement.load(conn).await?)
}
