//! Writing what a book decided, a statement for each table.

use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Int4, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{Sku, TokenId};
use time::OffsetDateTime;

use super::{lines, views};
use crate::domain::book::{Book, Log, Movement};
use crate::domain::operation::Operation;
use crate::store::marks;

/// Writes a book's changes, but for the facts.
pub(crate) async fn write(
    conn: &mut pg::Connection,
    book: &Book,
    max_retries: i32,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    orders(conn, book).await?;
    views::write(conn, book).await?;
    lines::write(conn, book).await?;
    // Rows that are new need no look at what is there.
    operations(conn, &book.changed(true), "", (max_retries, now)).await?;
    operations(conn, &book.changed(false), CHANGE, (max_retries, now)).await?;
    levels(conn, book, now).await?;
    movements(conn, &book.changes.movements, now).await?;
    marks::tell_again(conn, &book.changes.told_again, now).await?;
    logs(conn, &book.changes.logs, now).await
}

async fn orders(conn: &mut pg::Connection, book: &Book) -> Result<(), pg::Error> {
    let changed = book.changes.orders.iter().filter_map(|id| Some((id, book.orders.get(id)?)));
    let changed: Vec<_> = changed.filter(|(_, order)| !order.is_written()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "UPDATE order_states AS s SET version = u.version FROM unnest($1, $2) AS u (order_id, version) \
         WHERE s.order_id = u.order_id",
    )
    .bind::<Array<Text>, _>(changed.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(changed.iter().map(|(_, it)| it.version).collect::<Vec<_>>());
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

/// `attempt` grows: whoever was telling allegro-backup of it meanwhile must not write any more.
const CHANGE: &str = "ON CONFLICT (id) DO UPDATE SET status = excluded.status, retry_count = excluded.retry_count, \
     sku = excluded.sku, quantity = excluded.quantity, warehouse = excluded.warehouse, \
     next_retry_at = excluded.next_retry_at, deducted_at = excluded.deducted_at, \
     completed_at = excluded.completed_at, error_message = excluded.error_message, version = excluded.version, \
     updated_at = excluded.updated_at, lease_until = NULL, attempt = o.attempt + 1";

async fn operations(
    conn: &mut pg::Connection,
    changed: &[&Operation],
    on_conflict: &'static str,
    (max_retries, now): (i32, OffsetDateTime),
) -> Result<(), pg::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let statement = sql_query(format!(
        "INSERT INTO pending_stock_operations AS o (id, token_id, user_id, order_id, line_item_id, operation_type, \
             status, sku, quantity, warehouse, retry_count, next_retry_at, deducted_at, completed_at, error_message, \
             version, created_at, generation, max_retries, updated_at) \
         SELECT u.*, $19, $20 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18) AS u {on_conflict}",
    ))
    .bind::<Array<SqlUuid>, _>(column(changed, |it| it.id))
    .bind::<Array<Nullable<SqlUuid>>, _>(column(changed, |it| it.token_id.map(TokenId::as_uuid)))
    .bind::<Array<Nullable<Text>>, _>(column(changed, |it| it.user_id.as_deref()))
    .bind::<Array<Text>, _>(column(changed, |it| it.order_id.as_str()))
    .bind::<Array<Text>, _>(column(changed, |it| it.line_item_id.as_str()))
    .bind::<Array<Text>, _>(column(changed, |it| it.kind.word()))
    .bind::<Array<Text>, _>(column(changed, |it| it.status.word()))
    .bind::<Array<Nullable<Text>>, _>(column(changed, |it| it.sku.as_ref().map(Sku::as_str)))
    .bind::<Array<Nullable<BigInt>>, _>(column(changed, |it| it.quantity))
    .bind::<Array<Text>, _>(column(changed, |it| it.warehouse.as_str()))
    .bind::<Array<Int4>, _>(column(changed, |it| it.retry_count))
    .bind::<Array<Nullable<Timestamptz>>, _>(column(changed, |it| it.next_retry_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(column(changed, |it| it.deducted_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(column(changed, |it| it.completed_at))
    .bind::<Array<Nullable<Text>>, _>(column(changed, |it| it.error_message.as_deref()))
    .bind::<Array<BigInt>, _>(column(changed, |it| it.version))
    .bind::<Array<Timestamptz>, _>(column(changed, |it| it.created_at))
    .bind::<Array<BigInt>, _>(column(changed, |it| it.generation))
    .bind::<Int4, _>(max_retries)
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

fn column<'a, T>(all: &[&'a Operation], of: impl Fn(&'a Operation) -> T) -> Vec<T> {
    all.iter().map(|it| of(it)).collect()
}

async fn levels(conn: &mut pg::Connection, book: &Book, now: OffsetDateTime) -> Result<(), pg::Error> {
    let changed: Vec<_> =
        book.changes.levels.iter().filter_map(|it| Some((it, book.levels.get(it)?))).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "UPDATE stock_levels AS l SET on_hand = u.on_hand, is_low = u.is_low, version = u.version, updated_at = $6 \
         FROM unnest($1, $2, $3, $4, $5) AS u (sku, warehouse, on_hand, is_low, version) \
         WHERE l.sku = u.sku AND l.warehouse = u.warehouse",
    )
    .bind::<Array<Text>, _>(changed.iter().map(|(place, _)| place.0.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(changed.iter().map(|(place, _)| place.1.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(changed.iter().map(|(_, it)| it.on_hand).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(changed.iter().map(|(_, it)| it.is_low).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(changed.iter().map(|(_, it)| it.version).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}

async fn movements(
    conn: &mut pg::Connection,
    movements: &[Movement],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if movements.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "INSERT INTO stock_movements (id, sku, warehouse, delta, on_hand, kind, operation_id, order_id, line_item_id, \
             line_key, generation, created_at) \
         SELECT u.*, $12 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS u",
    )
    .bind::<Array<SqlUuid>, _>(movements.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.place.0.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.place.1.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(movements.iter().map(|it| it.delta).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(movements.iter().map(|it| it.on_hand).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.kind.word()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(movements.iter().map(|it| it.operation_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.order_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.line_item_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(movements.iter().map(|it| it.line_key.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(movements.iter().map(|it| it.generation).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    let written = pg::prepared(statement).execute(conn).await.map_err(pg::Error::from);
    // Another order moved the line just now.
    written.map(drop).map_err(|error| error.collides_at("stock_movements_once"))
}

/// Adds what was done about operations.
pub(crate) async fn logs(
    conn: &mut pg::Connection,
    logs: &[Log],
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    if logs.is_empty() {
        return Ok(());
    }
    let statement = sql_query(
        "INSERT INTO stock_synchronization_logs (operation_id, action, status, details, execution_time_ms, timestamp) \
         SELECT u.*, $6 FROM unnest($1, $2, $3, $4, $5) AS u",
    )
    .bind::<Array<SqlUuid>, _>(logs.iter().map(|it| it.operation_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(logs.iter().map(|it| it.action).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(logs.iter().map(|it| it.status).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(logs.iter().map(|it| it.details.clone()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Int4>>, _>(logs.iter().map(|it| it.execution_time_ms).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now);
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}
