//! What is known here of orders that are compared with allegro-backup's.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel::{
    ExpressionMethods, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper, sql_query,
};
use diesel_async::RunQueryDsl;
use domain::Sku;

use crate::domain::book::Place;
use crate::domain::line_state::UnitsOut;
use crate::domain::order_view::LineKey;
use crate::store::schema::line_states;

/// A line that is known here.
#[derive(Debug, Clone)]
pub(crate) struct KnownLine {
    /// The order that decides about it.
    pub(crate) carrier: String,
    pub(crate) is_held: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = line_states, check_for_backend(Pg))]
struct LineRow {
    line_key: String,
    carrier: String,
    hold: Option<String>,
}

/// These lines, as far as they are known.
pub(crate) async fn lines(
    conn: &mut pg::Connection,
    keys: &BTreeSet<LineKey>,
) -> Result<HashMap<LineKey, KnownLine>, pg::Error> {
    let keys: Vec<&str> = keys.iter().map(LineKey::as_str).collect();
    let rows: Vec<LineRow> = line_states::table
        .filter(line_states::line_key.eq_any(keys))
        .select(LineRow::as_select())
        .load(conn)
        .await?;
    let known = |row: LineRow| {
        let line = KnownLine { carrier: row.carrier, is_held: row.hold.is_some() };
        (LineKey::stored(row.line_key), line)
    };
    Ok(rows.into_iter().map(known).collect())
}

#[derive(QueryableByName)]
struct OutRow {
    #[diesel(sql_type = Text)]
    line_key: String,
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Text)]
    warehouse: String,
    #[diesel(sql_type = BigInt)]
    units: i64,
}

/// The units of these lines that left and have not come back, according to the ledger.
pub(crate) async fn out(
    conn: &mut pg::Connection,
    keys: &BTreeSet<LineKey>,
) -> Result<HashMap<LineKey, Vec<UnitsOut>>, pg::Error> {
    let rows: Vec<OutRow> = sql_query(
        "SELECT line_key, sku, warehouse, -sum(delta)::bigint AS units FROM stock_movements \
         WHERE line_key = ANY ($1) AND kind IN ('sale', 'refund') GROUP BY line_key, sku, warehouse \
         HAVING sum(delta) <> 0",
    )
    .bind::<Array<Text>, _>(keys.iter().map(LineKey::as_str).collect::<Vec<_>>())
    .load(conn)
    .await?;
    let mut out: HashMap<LineKey, Vec<UnitsOut>> = HashMap::new();
    for row in rows {
        let sku = Sku::parse(&row.sku);
        let sku = sku.map_err(|_error| pg::Error::corrupt("stock_movements", &row.line_key, "sku"))?;
        let units = UnitsOut { sku, warehouse: row.warehouse, units: row.units };
        out.entry(LineKey::stored(row.line_key)).or_default().push(units);
    }
    Ok(out)
}

#[derive(QueryableByName)]
struct OperationRow {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Text)]
    line_item_id: String,
    #[diesel(sql_type = Bool)]
    is_open: bool,
}

/// Orders that are not to be judged yet, and lines whose deduction failed.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Orders with an operation on its way.
    pub(crate) open: HashSet<String>,
    /// Lines for which there were too few units.
    pub(crate) short: HashSet<(String, String)>,
}

/// What is unfinished of these orders.
pub(crate) async fn unfinished(
    conn: &mut pg::Connection,
    order_ids: &[&str],
) -> Result<Unfinished, pg::Error> {
    let rows: Vec<OperationRow> = sql_query(
        "SELECT order_id, line_item_id, status <> 'failed' AS is_open FROM pending_stock_operations \
         WHERE order_id = ANY ($1) AND (status IN ('pending', 'processing') \
             OR status = 'failed' AND deducted_at IS NULL AND sku IS NOT NULL)",
    )
    .bind::<Array<Text>, _>(order_ids)
    .load(conn)
    .await?;
    let mut unfinished = Unfinished::default();
    for row in rows {
        if row.is_open {
            unfinished.open.insert(row.order_id);
        } else {
            unfinished.short.insert((row.order_id, row.line_item_id));
        }
    }
    Ok(unfinished)
}

#[derive(QueryableByName)]
struct LevelRow {
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Text)]
    warehouse: String,
    #[diesel(sql_type = BigInt)]
    on_hand: i64,
    #[diesel(sql_type = Bool)]
    allows_negative: bool,
}

/// Whether there is enough in each place now.
pub(crate) async fn suffices(
    conn: &mut pg::Connection,
    wanted: &HashMap<Place, i64>,
) -> Result<bool, pg::Error> {
    let levels: Vec<LevelRow> = sql_query(
        "SELECT sku, warehouse, on_hand, allows_negative FROM stock_levels \
         WHERE (sku, warehouse) IN (SELECT * FROM unnest($1, $2))",
    )
    .bind::<Array<Text>, _>(wanted.keys().map(|(sku, _)| sku.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(wanted.keys().map(|(_, warehouse)| warehouse.as_str()).collect::<Vec<_>>())
    .load(conn)
    .await?;
    Ok(wanted.iter().all(|((sku, warehouse), units)| {
        let level = levels.iter().find(|it| it.sku == sku.as_str() && it.warehouse == *warehouse);
        level.is_some_and(|it| it.allows_negative || it.on_hand >= *units)
    }))
}
