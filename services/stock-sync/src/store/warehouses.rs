//! `warehouses`.

use diesel::dsl;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

use super::schema::{accounts, stock_levels, warehouses};

/// A place where things lie.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = warehouses, check_for_backend(Pg))]
pub(crate) struct Warehouse {
    pub(crate) name: String,
    pub(crate) is_active: bool,
    pub(crate) allows_negative: bool,
    pub(crate) created_at: OffsetDateTime,
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
    Ok(warehouses::table.order(warehouses::name).select(Warehouse::as_select()).load(conn).await?)
}

/// Adds one; none when there is one of this name.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    name: &str,
    allows_negative: bool,
    now: OffsetDateTime,
) -> Result<Option<Warehouse>, pg::Error> {
    let inserted = diesel::insert_into(warehouses::table)
        .values((
            warehouses::name.eq(name),
            warehouses::allows_negative.eq(allows_negative),
            warehouses::created_at.eq(now),
            warehouses::updated_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .returning(Warehouse::as_returning());
    Ok(inserted.get_result(conn).await.optional()?)
}

/// Locks one, so that no account begins to sell from it meanwhile.
pub(crate) async fn lock(conn: &mut pg::Connection, name: &str) -> Result<Option<Warehouse>, pg::Error> {
    let found = warehouses::table.find(name).select(Warehouse::as_select());
    Ok(found.for_update().get_result(conn).await.optional()?)
}

/// Locks one's levels in the order in which everybody locks them: a change of its rule is written to all of them.
pub(crate) async fn lock_levels(conn: &mut pg::Connection, name: &str) -> Result<(), pg::Error> {
    let levels = stock_levels::table.filter(stock_levels::warehouse.eq(name)).order(stock_levels::sku);
    levels.select(stock_levels::sku).for_update().execute(conn).await?;
    Ok(())
}

/// Holds one as it is, beside others who do.
pub(crate) async fn hold(conn: &mut pg::Connection, name: &str) -> Result<Option<Warehouse>, pg::Error> {
    let found = warehouses::table.find(name).select(Warehouse::as_select());
    Ok(found.for_share().get_result(conn).await.optional()?)
}

/// Whether an account's sales are taken from it.
pub(crate) async fn is_sold_from(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    let sold_from = accounts::table.filter(accounts::warehouse.eq(name));
    Ok(diesel::select(dsl::exists(sold_from)).get_result(conn).await?)
}

/// Changes one that is there.
pub(crate) async fn update(
    conn: &mut pg::Connection,
    name: &str,
    is_active: bool,
    allows_negative: bool,
    now: OffsetDateTime,
) -> Result<Warehouse, pg::Error> {
    let updated = diesel::update(warehouses::table.find(name))
        .set((
            warehouses::is_active.eq(is_active),
            warehouses::allows_negative.eq(allows_negative),
            warehouses::updated_at.eq(now),
        ))
        .returning(Warehouse::as_returning());
    Ok(updated.get_result(conn).await?)
}

/// Removes one; false when there is none.
pub(crate) async fn delete(conn: &mut pg::Connection, name: &str) -> Result<bool, pg::Error> {
    Ok(diesel::delete(warehouses::table.find(name)).execute(conn).await? > 0)
}
