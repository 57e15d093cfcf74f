//! Writing what an export holds.

use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::sealed::Keyring;
use time::OffsetDateTime;
use uuid::Uuid;

use super::tokens::{self, SEALED, TokenStoreError};
use crate::domain::archive::{AccountLine, OrderLine};

/// Why the owner must connect a restored account again: no export holds tokens.
const RESTORED: &str = "restored from an export, which holds no tokens";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    is_same: bool,
}

/// The account a file speaks of: the one with its id, or the user's own connection of the same seller, or a new one that
/// waits for its owner to connect it. `None` when its id is another account's.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn account(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    line: &AccountLine,
) -> Result<Option<TokenId>, TokenStoreError> {
    tokens::hold(conn, &line.user_id, &line.allegro_seller_id).await?;
    let existing: Option<Found> = sql_query(
        "SELECT id, user_id = $2 AND allegro_seller_id = $3 AS is_same FROM user_tokens \
         WHERE id = $1 OR (user_id = $2 AND allegro_seller_id = $3 AND is_active AND $4) \
         ORDER BY id = $1 DESC LIMIT 1",
    )
    .bind::<SqlUuid, _>(line.id)
    .bind::<Text, _>(&line.user_id)
    .bind::<Text, _>(&line.allegro_seller_id)
    .bind::<Bool, _>(line.is_active)
    .get_result(conn)
    .await
    .optional()?;
    if let Some(found) = existing {
        return Ok(found.is_same.then(|| found.id.into()));
    }
    let access = keyring.seal(&SEALED.place("access_token", line.id), b"")?;
    let refresh = keyring.seal(&SEALED.place("refresh_token", line.id), b"")?;
    sql_query(
        "INSERT INTO user_tokens (id, user_id, account_name, allegro_seller_id, allegro_login, access_token, \
             refresh_token, scopes, expires_at, refresh_expires_at, connected_at, is_active, needs_reauthorization, \
             reauthorization_reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, '', 'epoch', 'epoch', $8, $9, true, $10)",
    )
    .bind::<SqlUuid, _>(line.id)
    .bind::<Text, _>(&line.user_id)
    .bind::<Nullable<Text>, _>(&line.account_name)
    .bind::<Text, _>(&line.allegro_seller_id)
    .bind::<Text, _>(&line.allegro_login)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Timestamptz, _>(line.connected_at)
    .bind::<Bool, _>(line.is_active)
    .bind::<Text, _>(RESTORED)
    .execute(conn)
    .await?;
    Ok(Some(line.id.into()))
}

/// What a file says of orders that were just inserted, beside their content: version, source, flags and moments.
///
/// # Errors
/// The database's.
pub(crate) async fn complete(
    conn: &mut pg::Connection,
    lines: &[(Uuid, &OrderLine)],
) -> Result<(), pg::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    sql_query(
        "UPDATE orders AS o SET version = u.version, lost_data = u.lost_data, is_deleted = u.is_deleted, \
             merged_into = u.merged_into, is_stock_updated = u.is_stock_updated, \
             stock_updated_at = u.stock_updated_at, has_invoice_created = u.has_invoice_created, \
             invoice_id = u.invoice_id, created_at = u.created_at, updated_at = u.updated_at, source = u.source \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS u (id, version, lost_data, is_deleted, \
             merged_into, is_stock_updated, stock_updated_at, has_invoice_created, invoice_id, created_at, updated_at, source) \
         WHERE o.id = u.id",
    )
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(lines.iter().map(|(_, it)| it.version).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|(_, it)| it.lost_data).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|(_, it)| it.is_deleted).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(lines.iter().map(|(_, it)| it.merged_into.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|(_, it)| it.is_stock_updated).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(lines.iter().map(|(_, it)| it.stock_updated_at).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|(_, it)| it.has_invoice_created).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(lines.iter().map(|(_, it)| it.invoice_id.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(lines.iter().map(|(_, it)| it.created_at).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(lines.iter().map(|(_, it)| it.updated_at).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|(_, it)| it.source.as_str()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Which of these ids are taken.
///
/// # Errors
/// The database's.
pub(crate) async fn taken(conn: &mut pg::Connection, ids: &[Uuid]) -> Result<Vec<Uuid>, pg::Error> {
    let found: Vec<Found> = sql_query("SELECT id, true AS is_same FROM orders WHERE id = ANY($1)")
        .bind::<Array<SqlUuid>, _>(ids)
        .load(conn)
        .await?;
    Ok(found.into_iter().map(|row| row.id).collect())
}

/// A content of an order that is not its current one.
#[derive(Debug)]
pub(crate) struct Earlier<'a> {
    /// Our id of the order.
    pub(crate) order_id: Uuid,
    /// Its number; none where the order was there already: its own numbers are taken.
    pub(crate) version: Option<i64>,
    /// Kept even where the order had the same content at another time: the order was just inserted.
    pub(crate) is_fresh: bool,
    /// Allegro's version mark.
    pub(crate) revision: Option<&'a str>,
    /// When the request that brought it was started.
    pub(crate) seen_at: OffsetDateTime,
    /// How it came.
    pub(crate) source: &'a str,
    /// Its hash.
    pub(crate) content_hash: &'a [u8],
    /// The content.
    pub(crate) order_data: &'a str,
}

/// Keeps contents before the current one, in the order they are given; of an order that was there already only those it
/// never had. Returns how many.
///
/// # Errors
/// The database's.
pub(crate) async fn keep(conn: &mut pg::Connection, earlier: &[Earlier<'_>]) -> Result<usize, pg::Error> {
    if earlier.is_empty() {
        return Ok(0);
    }
    let kept = sql_query(
        "INSERT INTO order_versions (order_id, version, revision, seen_at, source, content_hash, order_data) \
         SELECT u.order_id, u.version, u.revision, u.seen_at, u.source, u.content_hash, \
             u.order_data::json \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY \
             AS u (order_id, is_fresh, version, revision, seen_at, source, content_hash, order_data, n) \
         WHERE u.is_fresh OR NOT EXISTS ( \
             SELECT 1 FROM orders o WHERE o.id = u.order_id AND o.content_hash = u.content_hash \
             UNION ALL \
             SELECT 1 FROM order_versions v WHERE v.order_id = u.order_id AND v.content_hash = u.content_hash) \
         ORDER BY u.n ON CONFLICT DO NOTHING",
    )
    .bind::<Array<SqlUuid>, _>(earlier.iter().map(|it| it.order_id).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(earlier.iter().map(|it| it.is_fresh).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(earlier.iter().map(|it| it.version).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(earlier.iter().map(|it| it.revision).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(earlier.iter().map(|it| it.seen_at).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(earlier.iter().map(|it| it.source).collect::<Vec<_>>())
    .bind::<Array<Bytea>, _>(earlier.iter().map(|it| it.content_hash).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(earlier.iter().map(|it| it.order_data).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(kept)
}
