//! `line_states`.

use std::collections::{BTreeSet, HashMap};

use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::AllegroOrderId;
use serde_json::{Value, json};

use crate::domain::book::Book;
use crate::domain::line_state::{Hold, LineState};
use crate::domain::order_view::LineKey;
use crate::store::schema::line_states;

#[derive(QueryableByName)]
struct NamingRow {
    #[diesel(sql_type = Text)]
    order_id: String,
}

/// The orders that name any of these lines, as far as that is committed.
pub(crate) async fn naming(
    conn: &mut pg::Connection,
    keys: &BTreeSet<LineKey>,
) -> Result<BTreeSet<AllegroOrderId>, pg::Error> {
    let statement =
        sql_query("SELECT DISTINCT unnest(orders) AS order_id FROM line_states WHERE line_key = ANY ($1)")
            .bind::<Array<Text>, _>(keys.iter().map(LineKey::as_str).collect::<Vec<_>>());
    let rows: Vec<NamingRow> = pg::prepared(statement).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.order_id.into()).collect())
}

#[derive(QueryableByName)]
#[diesel(table_name = line_states)]
struct LineRow {
    line_key: String,
    orders: Vec<String>,
    carrier: String,
    generation: i64,
    units_out: Value,
    hold: Option<String>,
}

impl TryFrom<LineRow> for (LineKey, LineState) {
    type Error = pg::Error;

    fn try_from(row: LineRow) -> Result<Self, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("line_states", &row.line_key, column);
        let hold = row.hold.as_deref().map(|word| Hold::read(word).ok_or_else(|| corrupt("hold")));
        let state = LineState {
            units_out: serde_json::from_value(row.units_out).map_err(|_error| corrupt("units_out"))?,
            hold: hold.transpose()?,
            orders: row.orders.into_iter().map(AllegroOrderId::from).collect(),
            carrier: Some(row.carrier.into()),
            generation: row.generation,
            is_new: false,
        };
        Ok((LineKey::stored(row.line_key), state))
    }
}

/// Locks the lines that are known. The row of a new line is written once, when its first state is; another transaction that
/// writes it first makes this one begin again.
pub(crate) async fn lines(
    conn: &mut pg::Connection,
    keys: &BTreeSet<LineKey>,
) -> Result<HashMap<LineKey, LineState>, pg::Error> {
    let statement = sql_query(
        "SELECT line_key, orders, carrier, generation, units_out, hold FROM line_states \
         WHERE line_key = ANY ($1) ORDER BY line_key FOR UPDATE",
    )
    .bind::<Array<Text>, _>(keys.iter().map(LineKey::as_str).collect::<Vec<_>>());
    let rows: Vec<LineRow> = pg::prepared(statement).load(conn).await?;
    let known: Result<HashMap<LineKey, LineState>, pg::Error> =
        rows.into_iter().map(<(LineKey, LineState)>::try_from).collect();
    let mut lines = known?;
    for key in keys {
        lines.entry(key.clone()).or_insert_with(|| LineState { is_new: true, ..LineState::default() });
    }
    Ok(lines)
}

/// Writes the lines that changed.
pub(super) async fn write(conn: &mut pg::Connection, book: &Book) -> Result<(), pg::Error> {
    let changed = book.changes.lines.iter().filter_map(|key| Some((key, book.lines.get(key)?)));
    let (new, old): (Vec<_>, Vec<_>) = changed.partition(|(_, line)| line.is_new);
    insert(conn, &new, "").await.map_err(|error| error.collides_at("line_states_pkey"))?;
    insert(conn, &old, REPLACE).await
}

const REPLACE: &str = "ON CONFLICT (line_key) DO UPDATE SET orders = excluded.orders, carrier = excluded.carrier, \
     generation = excluded.generation, units_out = excluded.units_out, hold = excluded.hold";

async fn insert(
    conn: &mut pg::Connection,
    lines: &[(&LineKey, &LineState)],
    on_conflict: &'static str,
) -> Result<(), pg::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    // Arrays of arrays must be of one length; the orders of a line are bound as one JSON array.
    let orders = |line: &LineState| json!(line.orders);
    let carrier = |line: &LineState| line.carrier.as_ref().map(ToString::to_string).unwrap_or_default();
    let statement = sql_query(format!(
        "INSERT INTO line_states (line_key, orders, carrier, generation, units_out, hold) \
         SELECT line_key, ARRAY(SELECT jsonb_array_elements_text(orders)), carrier, generation, units_out, hold \
         FROM unnest($1, $2, $3, $4, $5, $6) AS u (line_key, orders, carrier, generation, units_out, hold) {on_conflict}",
    ))
    .bind::<Array<Text>, _>(lines.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|(_, it)| orders(it)).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|(_, it)| carrier(it)).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(lines.iter().map(|(_, it)| it.generation).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|(_, it)| json!(it.units_out)).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(lines.iter().map(|(_, it)| it.hold.map(Hold::word)).collect::<Vec<_>>());
    pg::prepared(statement).execute(conn).await?;
    Ok(())
}
