//! `order_events`: Allegro's journal, as it was read.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;

use crate::domain::journal::{Event, NAMELESS, UNREADABLE};

#[derive(QueryableByName)]
struct EventId {
    #[diesel(sql_type = Text)]
    event_id: String,
}

/// The event `back` places before the last one that was stored: where the overlap begins. It is not calculated from ids, has an
/// id of Allegro, and is not before an event that could not be read, because reading that one is expensive.
///
/// # Errors
/// The database's.
pub(crate) async fn overlap_start(
    conn: &mut pg::Connection,
    token_id: TokenId,
    back: i64,
) -> Result<Option<String>, pg::Error> {
    let row: Option<EventId> = sql_query(
        "SELECT event_id FROM (SELECT event_id, seq, type, row_number() OVER (ORDER BY seq DESC) - 1 AS place \
             FROM (SELECT event_id, seq, type FROM order_events WHERE token_id = $1 AND NOT starts_with(event_id, $4) \
                 ORDER BY seq DESC LIMIT $2 + 1) AS last \
         ) AS counted WHERE place = $2 OR type = $3 ORDER BY seq DESC LIMIT 1",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<BigInt, _>(back)
    .bind::<Text, _>(UNREADABLE)
    .bind::<Text, _>(NAMELESS)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map(|row| row.event_id))
}

/// Which of these events are stored already.
///
/// # Errors
/// The database's.
pub(crate) async fn known(
    conn: &mut pg::Connection,
    token_id: TokenId,
    ids: &[&str],
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<EventId> =
        sql_query("SELECT event_id FROM order_events WHERE token_id = $1 AND event_id = ANY($2)")
            .bind::<SqlUuid, _>(token_id.as_uuid())
            .bind::<Array<Text>, _>(ids)
            .load(conn)
            .await?;
    Ok(rows.into_iter().map(|row| row.event_id).collect())
}

/// Stores events, in the order they were read. One that says again what another said (order, type and moment) is
/// marked as a duplicate.
///
/// # Errors
/// The database's.
pub(crate) async fn store(
    conn: &mut pg::Connection,
    token_id: TokenId,
    events: &[&Event],
) -> Result<(), pg::Error> {
    if events.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO order_events (token_id, event_id, allegro_order_id, type, occurred_at, is_duplicate, event_data) \
         SELECT $1, u.id, u.order_id, u.type, u.at, \
             row_number() OVER (PARTITION BY u.order_id, u.type, u.at ORDER BY u.n) > 1 \
                 OR EXISTS (SELECT 1 FROM order_events e WHERE e.token_id = $1 AND e.allegro_order_id = u.order_id \
                                AND e.type = u.type AND e.occurred_at = u.at), \
             u.data \
         FROM unnest($2, $3, $4, $5, $6) WITH ORDINALITY AS u (id, order_id, type, at, data, n) \
         ORDER BY u.n \
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(events.iter().map(|it| it.id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|it| it.order_id.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(events.iter().map(|it| it.occurred_at).collect::<Vec<OffsetDateTime>>())
    .bind::<Array<Jsonb>, _>(events.iter().map(|it| &it.content).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct FirstReady {
    #[diesel(sql_type = Text)]
    allegro_order_id: String,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: OffsetDateTime,
}

/// When each of these orders first became ready, as far as the journal says so.
///
/// # Errors
/// The database's.
pub(crate) async fn first_ready(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<HashMap<String, OffsetDateTime>, pg::Error> {
    if order_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = sql_query(
        "SELECT e.allegro_order_id, min(e.occurred_at) AS occurred_at FROM order_events e \
         WHERE e.token_id = $1 AND e.allegro_order_id = ANY($2) AND e.type = 'READY_FOR_PROCESSING' \
           AND e.occurred_at > 'epoch' GROUP BY e.allegro_order_id",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids);
    let rows: Vec<FirstReady> = pg::prepared(statement).load(conn).await?;
    Ok(rows.into_iter().map(|row| (row.allegro_order_id, row.occurred_at)).collect())
}

/// The last event that was read before a moment, in the order of reading.
///
/// # Errors
/// The database's.
pub(crate) async fn last_before(
    conn: &mut pg::Connection,
    token_id: TokenId,
    moment: OffsetDateTime,
) -> Result<Option<String>, pg::Error> {
    let row: Option<EventId> = sql_query(
        "SELECT event_id FROM order_events WHERE token_id = $1 AND received_at < $2 AND occurred_at < $2 \
         ORDER BY seq DESC LIMIT 1",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Timestamptz, _>(moment)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map(|row| row.event_id))
}

/// Forgets at most `limit` events read before a moment, but for each account's last `kept`, the one its cursor stands
/// on, and those whose order is not stored; returns how many.
///
/// # Errors
/// The database's.
pub(crate) async fn forget(
    conn: &mut pg::Connection,
    before: OffsetDateTime,
    kept: i64,
    limit: i64,
) -> Result<usize, pg::Error> {
    let deleted = sql_query(
        "DELETE FROM order_events WHERE seq IN ( \
             SELECT e.seq FROM user_tokens t \
                 CROSS JOIN LATERAL (SELECT seq FROM order_events WHERE token_id = t.id \
                     ORDER BY seq DESC OFFSET $2 LIMIT 1) AS last \
                 JOIN order_events e ON e.token_id = t.id AND e.seq <= last.seq \
             WHERE e.received_at < $1 \
                 AND NOT EXISTS (SELECT 1 FROM sync_cursors c WHERE c.token_id = t.id \
                     AND e.event_id IN (c.last_event_id, c.anchor_event_id)) \
                 AND (e.allegro_order_id IS NULL OR EXISTS (SELECT 1 FROM orders o \
                     WHERE o.token_id = t.id AND o.allegro_order_id = e.allegro_order_id)) \
             LIMIT $3)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(kept)
    .bind::<BigInt, _>(limit);
    Ok(deleted.execute(conn).await?)
}
