//! `batch_goods` and `batch_receipts`.

use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

/// What the plant calls a thing, and what it is on the shelf.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Good {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) nomenclature: String,
    #[diesel(sql_type = Text)]
    pub(crate) ekn_code: String,
    #[diesel(sql_type = Text)]
    pub(crate) sku: String,
    /// The default warehouse when absent.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) warehouse: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
}

/// A closed batch.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(crate) struct Receipt {
    #[diesel(sql_type = BigInt)]
    pub(crate) batch_id: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) batch_number: i64,
    #[diesel(sql_type = Text)]
    pub(crate) nomenclature: String,
    #[diesel(sql_type = Text)]
    pub(crate) ekn_code: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) units: i64,
}

const COLUMNS: &str = "batch_id, batch_number, nomenclature, ekn_code, units";

/// Goods, newest first.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Good>, pg::Error> {
    let (time, id) = after.unzip();
    let listed = sql_query(
        "SELECT * FROM batch_goods WHERE $1 IS NULL OR (created_at, id) < ($1, $2) \
         ORDER BY created_at DESC, id DESC LIMIT $3",
    )
    .bind::<Nullable<Timestamptz>, _>(time)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit);
    Ok(listed.load(conn).await?)
}

/// Adds one; none when there is one of this name and code.
pub(crate) async fn insert(conn: &mut pg::Connection, good: &Good) -> Result<Option<Good>, pg::Error> {
    let inserted = sql_query(
        "INSERT INTO batch_goods (id, nomenclature, ekn_code, sku, warehouse, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (nomenclature, ekn_code) DO NOTHING RETURNING *",
    )
    .bind::<SqlUuid, _>(good.id)
    .bind::<Text, _>(&good.nomenclature)
    .bind::<Text, _>(&good.ekn_code)
    .bind::<Text, _>(&good.sku)
    .bind::<Nullable<Text>, _>(&good.warehouse)
    .bind::<Timestamptz, _>(good.created_at);
    Ok(inserted.get_result(conn).await.optional()?)
}

/// Removes one; false when there is none.
pub(crate) async fn delete(conn: &mut pg::Connection, id: Uuid) -> Result<bool, pg::Error> {
    let deleted = sql_query("DELETE FROM batch_goods WHERE id = $1").bind::<SqlUuid, _>(id);
    Ok(deleted.execute(conn).await? > 0)
}

/// Waits for those who change what names mean, and keeps others from it.
pub(crate) async fn hold(conn: &mut pg::Connection) -> Result<(), pg::Error> {
    sql_query("LOCK TABLE batch_goods IN SHARE MODE").execute(conn).await?;
    Ok(())
}

/// What these are on the shelf, by name and code, as far as it is known.
pub(crate) async fn of(conn: &mut pg::Connection, names: &[(&str, &str)]) -> Result<Vec<Good>, pg::Error> {
    let (nomenclature, codes): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
    let found = sql_query(
        "SELECT * FROM batch_goods WHERE (nomenclature, ekn_code) IN (SELECT * FROM unnest($1, $2))",
    )
    .bind::<Array<Text>, _>(nomenclature)
    .bind::<Array<Text>, _>(codes);
    Ok(found.load(conn).await?)
}

/// Notes closed batches, each once. Returns those nobody had noted.
pub(crate) async fn note(
    conn: &mut pg::Connection,
    closed: &[Receipt],
    now: OffsetDateTime,
) -> Result<Vec<Receipt>, pg::Error> {
    let noted = sql_query(format!(
        "INSERT INTO batch_receipts ({COLUMNS}, created_at) SELECT u.*, $6 FROM unnest($1, $2, $3, $4, $5) AS u \
         ORDER BY 1 ON CONFLICT (batch_id) DO NOTHING RETURNING {COLUMNS}"
    ))
    .bind::<Array<BigInt>, _>(closed.iter().map(|it| it.batch_id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(closed.iter().map(|it| it.batch_number).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(closed.iter().map(|it| it.nomenclature.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(closed.iter().map(|it| it.ekn_code.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(closed.iter().map(|it| it.units).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    Ok(noted.load(conn).await?)
}

/// Batches of this name and code that wait to be received, locked.
pub(crate) async fn waiting(
    conn: &mut pg::Connection,
    (nomenclature, ekn_code): (&str, &str),
) -> Result<Vec<Receipt>, pg::Error> {
    let waiting = sql_query(format!(
        "SELECT {COLUMNS} FROM batch_receipts WHERE nomenclature = $1 AND ekn_code = $2 AND received_at IS NULL \
         ORDER BY batch_id FOR UPDATE"
    ))
    .bind::<Text, _>(nomenclature)
    .bind::<Text, _>(ekn_code);
    Ok(waiting.load(conn).await?)
}

/// Notes that batches were received.
pub(crate) async fn received(
    conn: &mut pg::Connection,
    batches: &[i64],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query("UPDATE batch_receipts SET received_at = $2 WHERE batch_id = ANY ($1)")
        .bind::<Array<BigInt>, _>(batches)
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await?;
    Ok(())
}
