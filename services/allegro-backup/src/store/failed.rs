//! `failed_orders`: quarantine for orders that fail for themselves.

use diesel::sql_types::{Array, BigInt, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use time::OffsetDateTime;

#[derive(QueryableByName)]
struct OrderId {
    #[diesel(sql_type = Text)]
    allegro_order_id: String,
}

/// An order that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// Allegro's id, or what stands for it.
    pub(crate) order_id: String,
    /// A stable word.
    pub(crate) class: &'static str,
    /// What happened.
    pub(crate) text: String,
    /// What Allegro answered, if it answered.
    pub(crate) document: Option<String>,
}

/// The class of a document without an id: there is nothing to ask Allegro for.
pub(crate) const NAMELESS: &str = "nameless";

/// Puts orders into quarantine, or counts another try of those in it: again after 1, 5, 15, 60, 240 minutes, then
/// abandoned, which means once a day.
///
/// # Errors
/// The database's.
pub(crate) async fn quarantine(
    conn: &mut pg::Connection,
    token_id: TokenId,
    failed: &[Failed],
) -> Result<(), pg::Error> {
    if failed.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO failed_orders AS f \
             (token_id, allegro_order_id, error_class, error_text, document, next_retry_at) \
         SELECT $1, id, class, text, document, now() + interval '1 minute' \
         FROM (SELECT DISTINCT ON (id) id, class, text, document \
               FROM unnest($2, $3, $4, $5) AS u (id, class, text, document) ORDER BY id) AS u \
         ON CONFLICT (token_id, allegro_order_id) DO UPDATE SET error_class = excluded.error_class, \
             error_text = excluded.error_text, document = coalesce(excluded.document, f.document), updated_at = now(), \
             attempts = CASE WHEN f.status = 'resolved' THEN 1 ELSE f.attempts + 1 END, \
             status = CASE WHEN f.status <> 'resolved' AND f.attempts >= 5 THEN 'abandoned' ELSE 'pending' END, \
             next_retry_at = now() + interval '1 minute' * CASE WHEN f.status = 'resolved' THEN 1 \
                 ELSE (ARRAY[1, 5, 15, 60, 240, 1440])[least(f.attempts + 1, 6)] END",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.order_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.class).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(failed.iter().map(|it| it.text.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Bytea>>, _>(
        failed.iter().map(|it| it.document.as_deref().map(str::as_bytes)).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets orders out of quarantine that were stored after all.
///
/// # Errors
/// The database's.
pub(crate) async fn resolve(
    conn: &mut pg::Connection,
    token_id: TokenId,
    order_ids: &[&str],
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE failed_orders SET status = 'resolved', updated_at = now() \
         WHERE token_id = $1 AND allegro_order_id = ANY($2) AND status <> 'resolved'",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Array<Text>, _>(order_ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// Orders whose next try is due.
///
/// # Errors
/// The database's.
pub(crate) async fn due(
    conn: &mut pg::Connection,
    token_id: TokenId,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<String>, pg::Error> {
    let rows: Vec<OrderId> = sql_query(
        "SELECT allegro_order_id FROM failed_orders \
         WHERE token_id = $1 AND status <> 'resolved' AND error_class <> $4 AND next_retry_at <= $2 \
         ORDER BY next_retry_at LIMIT $3",
    )
    .bind::<SqlUuid, _>(token_id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(limit)
    .bind::<Text, _>(NAMELESS)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.allegro_order_id).collect())
}
