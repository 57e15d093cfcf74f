//! `warehouses`.

use diesel::sql_types::{Bool, Text, Timestamptz};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

/// A place where things lie.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Warehouse {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) allows_negative: bool,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

/// Makes sure that a warehouse is there and in use, and says whether its levels may go below zero.
pub(crate) async fn ensure(
    conn: &mut pg::Connection,
    name: &str,
    allows_negative: bool,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if lock(conn, name).await?.is_some_and(|it| it.allows_negative != allows_negative) {
        lock_levels(conn, name).await?;
    }
    sql_query(
        "INSERT INTO warehouses AS w (name, allows_negative, created_at, updated_at) VALUES ($1, $2, $3, $3) \
         ON CONFLICT (name) DO UPDATE SET allows_negative = $2, is_active = true, updated_at = $3 \
             WHERE w.allows_negative <> $2 OR NOT w.is_active",
    )
    .bind::<Text, _>(name)
    .bind::<Bool, _>(allows_negative)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Every one, by name.
pub(crate) async fn list(conn: &mut pg::Connection) -> Result<Vec<Warehouse>, pg::Error> {
    Ok(sql_query("SELECT * FROM warehouses ORDER BY name").load(conn).await?)
}

/// Adds one; none when there is one of this name.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    name: &str,
    allows_negative: bool,
    now: OffsetDateTime,
) -> Result<Option<Warehouse>, pg::Error> {
    let inserted = sql_query(
        "INSERT INTO warehouses (name, allows_negative, created_at, updated_at) VALUES ($1, $2, $3, $3) \
         ON CONFLICT DO NOTHING RETURNING *",
    )
    .bind::<Text, _>(name)
    .bind::<Bool, _>(allows_negative)
    .bind::<Timestamptz, _>(now);
    Ok(inserted.get_result(conn).await.optional()?)
}

/// Locks one, so that no account begins to sell from it meanwhile.
pub(crate) async fn lock(conn: &mut pg::Connection, name: &str) -> Result<Option<Warehouse>, pg::Error> {
    let locked = sql_query("SELECT * FROM warehouses WHERE name = $1 FOR UPDATE").bind::<Text, _>(name);
    Ok(locked.get_result(conn).await.optional()?)
}

/// Locks one's levels in the order in which everybody locks them: a change of its rule is written to all of them.
pub(crate) async fn lock_levels(conn: &mut pg::Connection, name: &str) -> Result<(), pg::Error> {
    sql_query("SELECT FROM stock_levels WHERE warehouse = $1 ORDER BY sku FOR UPDATE")
        .bind::<Text, _>(name)
        .execute(conn)
        .await?;
    Ok(())
}

/// Holds one as it is, beside others who do.
pub(crate) async fn hold(conn: &mut pg::Connection, name: &str) -> Result<Option<Warehouse>, pg::Error> {
    let held = sql_query("SELECT * FROM warehouses WHERE name = $1 FOR SHARE").bind::<Text, _>(name);
    Ok(held.get_result(conn).await.optional()?)
}

/// Whether an account's sales are taken from it.
pub(crate) async fn is_sold_from(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    let found = sql_query("SELECT FROM accounts WHERE warehouse = $1 LIMIT 1").bind::<Text, _>(name);
    Ok(found.execute(conn).await? > 0)
}

/// Changes one that is there.
pub(crate) async fn update(
    conn: &mut pg::Connection,
    name: &str,
    is_active: bool,
    allows_negative: bool,
    now: OffsetDateTime,
) -> Result<Warehouse, pg::Error> {
    let updated = sql_query(
        "UPDATE warehouses SET is_active = $2, allows_negative = $3, updated_at = $4 WHERE name = $1 RETURNING *",
    )
    .bind::<Text, _>(name)
    .bind::<Bool, _>(is_active)
    .bind::<Bool, _>(allows_negative)
    .bind::<Timestamptz, _>(now);
    Ok(updated.get_result(conn).await?)
}

/// Removes one; false when there is none.
pub(crate) async fn delete(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    let deleted = sql_query("DELETE FROM warehouses WHERE name = $1").bind::<Text, _>(name);
    Ok(deleted.execute(conn).await? > 0)
}
