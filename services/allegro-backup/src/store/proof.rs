//! `proven_days`, and what is compared for the proof: orders named by events, by lists, and stored, day by day (UTC).

use diesel::sql_types::{BigInt, Bool, Date as SqlDate, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::{Date, OffsetDateTime};

/// What is known of one day.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Day {
    /// The day.
    #[diesel(sql_type = SqlDate)]
    pub(crate) day: Date,
    /// When the last complete list over it was begun.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) listed_at: Option<OffsetDateTime>,
    /// Orders stored.
    #[diesel(sql_type = BigInt)]
    pub(crate) stored: i64,
    /// Of them, named by a list.
    #[diesel(sql_type = BigInt)]
    pub(crate) in_lists: i64,
    /// Of them, named by an event.
    #[diesel(sql_type = BigInt)]
    pub(crate) in_events: i64,
    /// Of them, gone at Allegro (merged or vanished).
    #[diesel(sql_type = BigInt)]
    pub(crate) deleted: i64,
}

/// Why an order keeps its day from being green.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Open {
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) order_id: String,
    /// Its day.
    #[diesel(sql_type = SqlDate)]
    pub(crate) day: Date,
    /// `missing` (named by an event, neither stored nor quarantined), `unlisted` (stored, not in the last list) or
    /// `quarantined`.
    #[diesel(sql_type = Text)]
    pub(crate) why: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// What is known of each day from `from` to `to`, newest first.
///
/// # Errors
/// The database's.
pub(crate) async fn days(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (from, to): (Date, Date),
) -> Result<Vec<Day>, pg::Error> {
    let found = sql_query(
        "WITH counted AS ( \
             SELECT (o.order_date AT TIME ZONE 'UTC')::date AS day, count(*) AS stored, \
                 count(*) FILTER (WHERE o.listed_at IS NOT NULL) AS in_lists, \
                 count(*) FILTER (WHERE EXISTS (SELECT 1 FROM order_events e WHERE e.token_id = o.token_id \
                     AND e.allegro_order_id = o.allegro_order_id)) AS in_events, \
                 count(*) FILTER (WHERE o.is_deleted) AS deleted \
             FROM orders o WHERE o.token_id = $1 AND o.order_date >= $2::timestamp AT TIME ZONE 'UTC' \
                 AND o.order_date < ($3 + 1)::timestamp AT TIME ZONE 'UTC' GROUP BY 1) \
         SELECT d.day::date, p.listed_at, coalesce(c.stored, 0) AS stored, coalesce(c.in_lists, 0) AS in_lists, \
             coalesce(c.in_events, 0) AS in_events, coalesce(c.deleted, 0) AS deleted \
         FROM generate_series($2::timestamp, $3::timestamp, interval '1 day') AS d (day) \
             LEFT JOIN counted c ON c.day = d.day::date \
             LEFT JOIN proven_days p ON p.token_id = $1 AND p.day = d.day::date \
         ORDER BY d.day DESC",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<SqlDate, _>(from)
    .bind::<SqlDate, _>(to);
    Ok(found.load(conn).await?)
}

/// Orders that keep days from `from` to `to` from being green, at most `limit`.
///
/// # Errors
/// The database's.
pub(crate) async fn open(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (from, to): (Date, Date),
    limit: i64,
) -> Result<Vec<Open>, pg::Error> {
    let found = sql_query(
        "WITH missing AS ( \
             SELECT e.allegro_order_id AS order_id, (coalesce( \
                 max(jsonb_path_query_first(e.event_data, '$.order.lineItems[*].boughtAt') #>> '{}'), \
                 min(to_char(e.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')))) AS at \
             FROM order_events e WHERE e.token_id = $1 AND e.allegro_order_id IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.token_id = $1 AND o.allegro_order_id = e.allegro_order_id) \
                 AND NOT EXISTS (SELECT 1 FROM failed_orders f WHERE f.token_id = $1 \
                     AND f.allegro_order_id = e.allegro_order_id \
                     AND (f.merged_into IS NOT NULL OR f.status IN ('pending', 'abandoned'))) \
             GROUP BY e.allegro_order_id), \
         all_open AS ( \
             SELECT order_id, CASE WHEN at ~ '^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])' \
                 THEN (left(at, 7) || '-01')::date + substr(at, 9, 2)::int - 1 \
                 ELSE (now() AT TIME ZONE 'UTC')::date END AS day, 'missing' AS why FROM missing \
             UNION ALL SELECT o.allegro_order_id, p.day, 'unlisted' FROM proven_days p JOIN orders o ON o.token_id = $1 \
                 AND o.order_date >= p.day::timestamp AT TIME ZONE 'UTC' \
                 AND o.order_date < (p.day + 1)::timestamp AT TIME ZONE 'UTC' \
             WHERE p.token_id = $1 AND p.day BETWEEN $2 AND $3 AND NOT o.is_deleted AND o.created_at < p.listed_at \
                 AND (o.listed_at IS NULL OR o.listed_at < p.listed_at) \
             UNION ALL SELECT f.allegro_order_id, coalesce((o.order_date AT TIME ZONE 'UTC')::date, f.day, \
                 (f.created_at AT TIME ZONE 'UTC')::date), 'quarantined' \
             FROM failed_orders f LEFT JOIN orders o ON o.token_id = $1 AND o.allegro_order_id = f.allegro_order_id \
             WHERE f.token_id = $1 AND f.status IN ('pending', 'abandoned')) \
         SELECT DISTINCT ON (day, order_id) order_id, day, why FROM all_open WHERE day BETWEEN $2 AND $3 \
         ORDER BY day DESC, order_id, why LIMIT $4",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<SqlDate, _>(from)
    .bind::<SqlDate, _>(to)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Writes down that a list begun at `listed_at` was read over all of these days.
///
/// # Errors
/// The database's.
pub(crate) async fn listed(
    conn: &mut pg::Connection,
    token_id: TokenId,
    (from, to): (Date, Date),
    listed_at: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO proven_days AS p (token_id, day, listed_at, is_green) \
         SELECT $1, day::date, $4, true FROM generate_series($2::timestamp, $3::timestamp, interval '1 day') AS d (day) \
         ON CONFLICT (token_id, day) DO UPDATE SET listed_at = greatest(p.listed_at, excluded.listed_at), is_green = true",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<SqlDate, _>(from)
    .bind::<SqlDate, _>(to)
    .bind::<Timestamptz, _>(listed_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down which days are not green.
///
/// # Errors
/// The database's.
pub(crate) async fn not_green(
    conn: &mut pg::Connection,
    token_id: TokenId,
    days: &[Date],
) -> Result<(), pg::Error> {
    sql_query("UPDATE proven_days SET is_green = false WHERE token_id = $1 AND day = ANY($2)")
        .bind::<SqlUuid, _>(token_id.as_uuid())
        .bind::<diesel::sql_types::Array<SqlDate>, _>(days)
        .execute(conn)
        .await?;
    Ok(())
}

/// How many days of active accounts were green, or were not, when they were compared last.
///
/// # Errors
/// The database's.
pub(crate) async fn counts(conn: &mut pg::Connection, is_green: bool) -> Result<i64, pg::Error> {
    let counted: Counted = sql_query(
        "SELECT count(*) FROM proven_days p JOIN user_tokens t ON t.id = p.token_id \
         WHERE t.is_active AND p.is_green = $1",
    )
    .bind::<Bool, _>(is_green)
    .get_result(conn)
    .await?;
    Ok(counted.count)
}
