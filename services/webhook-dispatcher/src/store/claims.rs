//! Claims due deliveries: any number of replicas, each delivery by one of them.
//!
//! The first rows of each subscription are read by an index, so that a million deliveries of one subscription delay no
//! other. A rate limit and the single attempt of a half-open circuit hold for all replicas together: they are applied here,
//! under the row lock of the subscription.

use std::sync::LazyLock;

use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::{messages, webhook_deliveries};
use crate::domain::health::OPENS_AFTER;

/// A delivery that this process has claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) body: Vec<u8>,
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) attempts_before: i32,
    pub(crate) claim: i32,
    pub(crate) leased_until: OffsetDateTime,
    /// Whether the lease of an earlier claim had ended.
    pub(crate) is_taken_over: bool,
    /// Start of its current run of attempts.
    pub(crate) run_started_at: OffsetDateTime,
    /// When it was ingested; none if it was retried or replayed since.
    pub(crate) accepted_at: Option<OffsetDateTime>,
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(embed)]
    delivery: DeliveryRow,
    #[diesel(embed)]
    message: MessageRow,
    #[diesel(sql_type = Timestamptz)]
    leased_until: OffsetDateTime,
    #[diesel(sql_type = Bool)]
    is_taken_over: bool,
    #[diesel(sql_type = Timestamptz)]
    run_started_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    accepted_at: Option<OffsetDateTime>,
}

#[derive(QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
struct DeliveryRow {
    id: Uuid,
    subscription_id: Uuid,
    message_id: Uuid,
    attempts: i32,
    attempts_before: i32,
    claim: i32,
}

#[derive(QueryableByName)]
#[diesel(table_name = messages)]
struct MessageRow {
    body: Option<Vec<u8>>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = pg::Error;

    fn try_from(row: ClaimedRow) -> Result<Self, pg::Error> {
        let ClaimedRow { delivery, message, .. } = row;
        let body = message.body.ok_or_else(|| pg::Error::corrupt("messages", delivery.message_id, "body"))?;
        Ok(Self {
            id: delivery.id,
            subscription_id: delivery.subscription_id,
            message_id: delivery.message_id,
            body,
            traceparent: message.traceparent,
            tracestate: message.tracestate,
            attempts: delivery.attempts,
            attempts_before: delivery.attempts_before,
            claim: delivery.claim,
            leased_until: row.leased_until,
            is_taken_over: row.is_taken_over,
            run_started_at: row.run_started_at,
            accepted_at: row.accepted_at,
        })
    }
}

/// How much may be claimed.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Rows in total, and of one subscription.
    pub(crate) rows: i64,
    pub(crate) rows_of_one: i32,
    /// Subscriptions that have rows in hand already, and how many more they may have.
    pub(crate) rooms: Vec<(Uuid, i32)>,
    /// Bytes of bodies. The first one is claimed whatever its size.
    pub(crate) bytes: i64,
    /// Added to each subscription's own timeout.
    pub(crate) margin_seconds: i32,
}

/// Deliveries of which any may go first.
const ANY: &str = "ordering_key IS NULL";
/// Deliveries that go one after another within a key.
const IN_ORDER: &str = "ordering_key IS NOT NULL";
/// Deliveries claimed at once after a pause that a receiver asked for.
const AFTER_PAUSE: i32 = 8;
const UNFINISHED: &str = "status IN ('pending', 'delivering')";

static CLAIM_ANY: LazyLock<String> = LazyLock::new(|| {
    claim_of(
        ANY,
        &format!(
            "SELECT d.id, d.message_id, d.status FROM webhook_deliveries d \
             WHERE d.subscription_id = g.id AND {ANY} AND {UNFINISHED} AND d.next_attempt_at <= $1 \
             ORDER BY d.next_attempt_at LIMIT g.quota FOR UPDATE SKIP LOCKED"
        ),
    )
});

/// Only the first unfinished delivery of a key is read: blocked ones cost nothing.
static CLAIM_IN_ORDER: LazyLock<String> = LazyLock::new(|| {
    let unfinished_of_it =
        format!("FROM webhook_deliveries WHERE subscription_id = g.id AND {IN_ORDER} AND {UNFINISHED}");
    claim_of(
        IN_ORDER,
        &format!(
            "WITH RECURSIVE heads AS ( \
                 (SELECT ordering_key, id, next_attempt_at {unfinished_of_it} ORDER BY ordering_key, place LIMIT 1) \
                 UNION ALL \
                 SELECT n.* FROM heads h CROSS JOIN LATERAL ( \
                     SELECT ordering_key, id, next_attempt_at {unfinished_of_it} AND ordering_key > h.ordering_key \
                     ORDER BY ordering_key, place LIMIT 1) n) \
             SELECT d.id, d.message_id, d.status FROM heads h JOIN webhook_deliveries d ON d.id = h.id \
             WHERE h.next_attempt_at <= $1 AND {UNFINISHED} AND d.next_attempt_at <= $1 \
             LIMIT g.quota FOR UPDATE OF d SKIP LOCKED"
        ),
    )
});

/// The statement that claims `which` deliveries, where `due` are those of the subscription `g`.
///
/// `waiting` jumps from one subscription with unfinished deliveries to the next. A limited rate has a moment until which
/// its allowance is used up (GCRA); half a second's allowance, or one delivery, may go at once. An open circuit whose
/// time is over admits one delivery, or a few if the receiver only throttled, and is half-open until they end.
fn claim_of(which: &str, due: &str) -> String {
    let of_some = format!("FROM webhook_deliveries WHERE {which} AND {UNFINISHED}");
    let window = "greatest(0.5, 1.0 / s.rate_limit_per_second) * interval '1 second'";
    let used_until = format!("greatest(s.rate_used_until, $1 - {window})");
    format!(
        "WITH RECURSIVE waiting AS ( \
             (SELECT subscription_id AS id {of_some} ORDER BY subscription_id LIMIT 1) \
             UNION ALL \
             SELECT (SELECT subscription_id {of_some} AND subscription_id > w.id ORDER BY subscription_id LIMIT 1) \
             FROM waiting w WHERE w.id IS NOT NULL), \
         limited AS ( \
             SELECT s.id, s.timeout_seconds, least( \
                 CASE WHEN s.circuit_state = 'closed' THEN $5 \
                      WHEN s.consecutive_failures < {OPENS_AFTER} AND s.circuit_openings <= 1 THEN {AFTER_PAUSE} \
                      ELSE 1 END, \
                 CASE WHEN s.rate_limit_per_second IS NULL THEN $5 \
                      ELSE floor(extract(epoch FROM $1 - {used_until}) * s.rate_limit_per_second + 0.001) END)::int \
                 AS allowed \
             FROM webhook_subscriptions s JOIN waiting USING (id) \
             WHERE (s.rate_limit_per_second IS NOT NULL OR s.circuit_state <> 'closed') \
                 AND (s.circuit_until IS NULL OR s.circuit_until <= $1) \
             FOR NO KEY UPDATE OF s SKIP LOCKED), \
         open AS ( \
             SELECT s.id, s.timeout_seconds, $5 AS allowed FROM webhook_subscriptions s JOIN waiting USING (id) \
             WHERE s.rate_limit_per_second IS NULL AND s.circuit_state = 'closed' \
             UNION ALL SELECT * FROM limited), \
         gates AS ( \
             SELECT open.id, timeout_seconds, least(allowed, coalesce(room, allowed)) AS quota \
             FROM open LEFT JOIN unnest($2, $3) AS hand (id, room) USING (id) ORDER BY random()), \
         picked AS ( \
             SELECT due.id, due.message_id, due.status, g.timeout_seconds \
             FROM gates g CROSS JOIN LATERAL ({due}) due WHERE g.quota > 0 LIMIT $4), \
         sized AS ( \
             SELECT p.id, p.status, p.timeout_seconds, m.body, m.traceparent, m.tracestate, \
                 sum(octet_length(m.body)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes, row_number() OVER () AS number \
             FROM picked p JOIN messages m ON m.id = p.message_id), \
         taken AS ( \
             UPDATE webhook_deliveries AS d SET status = 'delivering', claim = d.claim + 1, updated_at = $1, \
                 next_attempt_at = $1 + (sized.timeout_seconds + $6) * interval '1 second' \
             FROM sized WHERE d.id = sized.id AND (sized.bytes <= $7 OR sized.number = 1) \
             RETURNING d.id, d.subscription_id, d.message_id, sized.body, sized.traceparent, sized.tracestate, \
                 d.attempts, d.attempts_before, d.claim, d.next_attempt_at AS leased_until, \
                 sized.status = 'delivering' AS is_taken_over, \
                 coalesce(d.restarted_at, d.created_at) AS run_started_at, \
                 CASE WHEN d.trigger = 'auto' THEN d.created_at END AS accepted_at), \
         spent AS ( \
             UPDATE webhook_subscriptions AS s SET \
                 rate_used_until = CASE WHEN s.rate_limit_per_second IS NOT NULL THEN coalesce({used_until}, $1) \
                     + number * interval '1 second' / s.rate_limit_per_second END, \
                 circuit_state = CASE WHEN s.circuit_state = 'closed' THEN 'closed' ELSE 'half_open' END, \
                 circuit_until = CASE WHEN s.circuit_state <> 'closed' \
                     THEN $1 + (s.timeout_seconds + $6) * interval '1 second' END \
             FROM (SELECT subscription_id, count(*) AS number FROM taken GROUP BY subscription_id) AS t \
             WHERE s.id = t.subscription_id AND (s.rate_limit_per_second IS NOT NULL OR s.circuit_state <> 'closed')) \
         SELECT * FROM taken"
    )
}

/// Claims due deliveries. A delivery whose lease has ended is due: its process is considered dead. A delivery that cannot be
/// read is returned as an error and stays leased; the others are not affected.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    wanted: &Wanted,
    is_in_order: bool,
    now: OffsetDateTime,
) -> Result<Vec<Result<Claimed, pg::Error>>, pg::Error> {
    let (ids, rooms): (Vec<Uuid>, Vec<i32>) = wanted.rooms.iter().copied().unzip();
    let statement = if is_in_order { &*CLAIM_IN_ORDER } else { &*CLAIM_ANY };
    let statement = sql_query(statement.as_str())
        .bind::<Timestamptz, _>(now)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Int4>, _>(rooms)
        .bind::<BigInt, _>(wanted.rows)
        .bind::<Int4, _>(wanted.rows_of_one)
        .bind::<Int4, _>(wanted.margin_seconds)
        .bind::<BigInt, _>(wanted.bytes);
    let rows: Vec<ClaimedRow> = pg::prepared(statement).load(conn).await?;
    Ok(rows.into_iter().map(Claimed::try_from).collect())
}
