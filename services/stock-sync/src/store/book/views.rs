//! `order_views`.

use std::collections::{BTreeSet, HashMap};

use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{ExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper, sql_query};
use diesel_async::RunQueryDsl;
use domain::{AllegroOrderId, TokenId};
use pg::Columns;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::book::Book;
use crate::domain::order_view::{OrderStatus, OrderView};
use crate::store::schema::order_views;

#[derive(Queryable, Selectable)]
#[diesel(table_name = order_views, check_for_backend(Pg))]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
struct ViewRow {
    order_id: String,
    token_id: Option<Uuid>,
    user_id: Option<String>,
    status: String,
    sequence: Option<i64>,
    read_at: Option<OffsetDateTime>,
    first_stored_at: OffsetDateTime,
    ready_at: Option<OffsetDateTime>,
    was_shipped: bool,
    is_fulfilled_by_allegro: bool,
    is_first_returned: bool,
    is_out: bool,
    lines: Value,
}

impl TryFrom<ViewRow> for OrderView {
    type Error = pg::Error;

    fn try_from(row: ViewRow) -> Result<Self, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("order_views", &row.order_id, column);
        Ok(Self {
            status: OrderStatus::read(&row.status).ok_or_else(|| corrupt("status"))?,
            lines: serde_json::from_value(row.lines).map_err(|_error| corrupt("lines"))?,
            order_id: row.order_id.into(),
            token_id: row.token_id.map(TokenId::from),
            user_id: row.user_id,
            sequence: row.sequence,
            read_at: row.read_at,
            first_stored_at: Some(row.first_stored_at),
            ready_at: row.ready_at,
            was_shipped: row.was_shipped,
            is_fulfilled_by_allegro: row.is_fulfilled_by_allegro,
            is_first_returned: row.is_first_returned,
            is_out: row.is_out,
        })
    }
}

/// The views of these orders.
pub(crate) async fn views(
    conn: &mut pg::Connection,
    orders: &BTreeSet<AllegroOrderId>,
) -> Result<HashMap<AllegroOrderId, Vec<OrderView>>, pg::Error> {
    let orders: Vec<&str> = orders.iter().map(AllegroOrderId::as_str).collect();
    let rows: Vec<ViewRow> = order_views::table
        .filter(order_views::order_id.eq_any(orders))
        .select(ViewRow::as_select())
        .load(conn)
        .await?;
    let mut views: HashMap<AllegroOrderId, Vec<OrderView>> = HashMap::new();
    for row in rows {
        let view = OrderView::try_from(row)?;
        views.entry(view.order_id.clone()).or_default().push(view);
    }
    Ok(views)
}

/// Writes the views that changed.
pub(super) async fn write(conn: &mut pg::Connection, book: &Book) -> Result<(), pg::Error> {
    let changed = book.changes.views.iter().filter_map(|(order_id, token_id)| {
        book.views.get(order_id)?.iter().find(|it| it.token_id == *token_id)
    });
    let changed: Vec<&OrderView> = changed.collect();
    if changed.is_empty() {
        return Ok(());
    }
    let columns = Columns(&changed);
    let statement = sql_query(
        "INSERT INTO order_views (order_id, token_id, user_id, status, sequence, read_at, first_stored_at, ready_at, \
             was_shipped, is_fulfilled_by_allegro, is_first_returned, is_out, lines) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (order_id, token_id) DO UPDATE SET user_id = excluded.user_id, status = excluded.status, \
             sequence = excluded.sequence, read_at = excluded.read_at, first_stored_at = excluded.first_stored_at, \
             ready_at = excluded.ready_at, was_shipped = excluded.was_shipped, \
             is_fulfilled_by_allegro = excluded.is_fulfilled_by_allegro, \
             is_first_returned = excluded.is_first_returned, is_out = excluded.is_out, lines = excluded.lines",
    )
    .bind::<Array<Text>, _>(columns.array(|it| it.order_id.as_str()))
    .bind::<Array<Nullable<SqlUuid>>, _>(columns.array(|it| it.token_id.map(TokenId::as_uuid)))
    .bind::<Array<Nullable<Text>>, _>(columns.array(|it| it.user_id.as_deref()))
    .bind::<Array<Text>, _>(columns.array(|it| it.status.word()))
    .bind::<Array<Nullable<BigInt>>, _>(columns.array(|it| it.sequence))
    .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.read_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.first_stored_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(columns.array(|it| it.ready_at))
    .bind::<Array<Bool>, _>(columns.array(|it| it.was_shipped))
    .bind::<Array<Bool>, _>(columns.array(|it| it.is_fulfilled_by_allegro))
    .bind::<Array<Bool>, _>(columns.array(|it| it.is_first_returned))
    .bind::<Array<Bool>, _>(columns.array(|it| it.is_out))
    .bind::<Array<Jsonb>, _>(columns.array(|it| json!(it.lines)));
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}
