//! Levels from a file.

use std::collections::HashSet;

use domain::{Sku, WarehouseName};

use super::csv_rows;
pub(crate) use super::csv_rows::RowError;
use super::inventory::{self, Change, Order, Refused};
use crate::domain::movement::MovementKind;
use crate::domain::wish::Wish;
use crate::state::State;

/// A row of a file that says how much there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number in the file; the first below the header is 1.
    pub(crate) number: usize,
    pub(crate) sku: Sku,
    /// The default warehouse when absent.
    pub(crate) warehouse: Option<WarehouseName>,
    pub(crate) on_hand: i64,
    /// As it was when absent.
    pub(crate) low_threshold: Option<i64>,
    pub(crate) note: Option<String>,
}

const COLUMNS: [&str; 5] = ["sku", "warehouse", "on_hand", "low_threshold", "note"];

/// Reads a file ([`csv_rows::read`]). Returns what can be read of it, and what cannot.
pub(crate) fn read(text: &str) -> (Vec<Row>, Vec<RowError>) {
    csv_rows::read(text, (&COLUMNS, &["sku", "on_hand"]), row)
}

fn row<'a>(number: usize, field: &dyn Fn(&str) -> Option<&'a str>) -> Result<Row, Vec<RowError>> {
    let mut errors = Vec::new();
    let mut wrong =
        |column, code, message: String| errors.push(RowError { row: number, column, code, message });
    let sku = Sku::parse(field("sku").unwrap_or_default());
    if let Err(error) = &sku {
        wrong("sku", "invalid_sku", error.to_string());
    }
    let warehouse = field("warehouse").map(WarehouseName::parse).transpose();
    if let Err(error) = &warehouse {
        wrong("warehouse", "invalid_warehouse", error.to_string());
    }
    let whole = |text: &str| text.parse::<i64>().ok().filter(|it| it.abs() <= inventory::MOST_UNITS);
    let on_hand = field("on_hand").and_then(whole);
    if on_hand.is_none() {
        wrong("on_hand", "not_a_number", "must be a whole number".to_owned());
    }
    let low_threshold = field("low_threshold").map(|text| whole(text).filter(|it| *it >= 0));
    if low_threshold == Some(None) {
        wrong("low_threshold", "not_a_number", "must be a whole number, 0 or more".to_owned());
    }
    let note = field("note").map(str::to_owned);
    if note.as_deref().is_some_and(|note| note.chars().count() > 1000) {
        wrong("note", "too_long", "must be at most 1000 characters".to_owned());
    }
    match (sku, warehouse, on_hand, errors.is_empty()) {
        (Ok(sku), Ok(warehouse), Some(on_hand), true) => {
            Ok(Row { number, sku, warehouse, on_hand, low_threshold: low_threshold.flatten(), note })
        }
        _ => Err(errors),
    }
}

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Rows that were followed, those that said what was known included.
    pub(crate) imported: usize,
    pub(crate) errors: Vec<RowError>,
}

/// Sets levels as rows say, in the caller's transaction; what a row asks that cannot be is an error of that row.
///
/// # Errors
/// The database's.
pub(crate) async fn apply(
    state: &State,
    conn: &mut pg::Connection,
    rows: &[Row],
    who: &str,
) -> Result<Imported, pg::Error> {
    let default = state.settings.default_warehouse.as_str();
    let (mut seen, mut result) = (HashSet::new(), Imported::default());
    let mut wanted: Vec<(usize, Order<'_>)> = Vec::new();
    for row in rows {
        let warehouse = row.warehouse.as_deref().unwrap_or(default);
        if !seen.insert((&row.sku, warehouse)) {
            let message = "an earlier row is of the same thing in the same warehouse".to_owned();
            result.errors.push(RowError { row: row.number, column: "sku", code: "duplicate", message });
            continue;
        }
        let order = Order {
            sku: row.sku.clone(),
            warehouse,
            change: Change::Set(row.on_hand),
            low_threshold: row.low_threshold.map_or(Wish::AsItWas, |units| Wish::Be(Some(units))),
            if_version: None,
            kind: MovementKind::Import,
            note: row.note.as_deref(),
            who,
        };
        wanted.push((row.number, order));
    }
    let (numbers, orders): (Vec<usize>, Vec<Order<'_>>) = wanted.into_iter().unzip();
    let changed = inventory::change(state, conn, &orders).await?;
    for (row, outcome) in numbers.into_iter().zip(changed) {
        match outcome {
            Ok(_) => result.imported += 1,
            Err(refused) => {
                let (column, code) = match refused {
                    Refused::NoWarehouse => ("warehouse", "unknown_warehouse"),
                    Refused::Version(_) | Refused::TooFew(_) | Refused::TooMany => {
                        ("on_hand", "out_of_range")
                    }
                };
                result.errors.push(RowError { row, column, code, message: refused.to_string() });
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn rows_are_read_by_their_header_and_each_fault_is_named() {
        let (rows, errors) = read("on_hand;SKU;warehouse\n12; AH-1 ;Łódź\n\n-3;AH-2;\nx;;\n1;AH-3;a;b\n");
        let read: Vec<_> =
            rows.iter().map(|it| (it.number, it.sku.as_str(), it.warehouse.as_deref(), it.on_hand)).collect();
        assert_eq!(read, [(1, "AH-1", Some("Łódź"), 12), (2, "AH-2", None, -3)]);
        let found: Vec<_> = errors.iter().map(|it| (it.row, it.column, it.code)).collect();
        assert_eq!(
            found,
            [(3, "sku", "invalid_sku"), (3, "on_hand", "not_a_number"), (4, "row", "too_many_fields")]
        );
    }

    #[test]
    fn a_file_without_the_columns_says_nothing() {
        for (text, codes) in [
            ("", vec!["missing_column", "missing_column"]),
            ("sku,quantity\nA,1", vec!["unknown_column", "missing_column"]),
        ] {
            let (rows, errors) = read(text);
            assert!(rows.is_empty());
            assert_eq!(errors.iter().map(|it| it.code).collect::<Vec<_>>(), codes, "{text:?}");
        }
    }
}
