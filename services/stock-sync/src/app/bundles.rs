//! Bundles: SKUs that leave a warehouse as their components.

use std::collections::{BTreeMap, BTreeSet};

use domain::Sku;

use super::csv_rows;
pub(crate) use super::csv_rows::RowError;
use crate::domain::book::Component;
use crate::state::State;
use crate::store::bundles;
pub(crate) use crate::store::bundles::BundleRow;

/// Units of a component in one bundle, at most.
pub(crate) const MOST_COMPONENT_UNITS: i64 = 1_000_000;

/// Why bundles are left as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none of this SKU.
    #[error("there is no such bundle")]
    NotFound,
    /// A bundle would be part of a bundle.
    #[error("{sku} is a bundle and a component of one")]
    Nested { sku: String },
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// A row of a file: one component of a bundle.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) sku: Sku,
    pub(crate) component: Component,
}

/// Bundles in the order of their SKUs, after one: so many at most, each with its components.
pub(crate) async fn list(
    state: &State,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<(String, Vec<BundleRow>)>, pg::Error> {
    let rows = bundles::list(&mut *state.pool.get().await?, after, limit).await?;
    let mut listed: BTreeMap<String, Vec<BundleRow>> = BTreeMap::new();
    for row in rows {
        listed.entry(row.sku.clone()).or_default().push(row);
    }
    Ok(listed.into_iter().collect())
}

/// Replaces the components of bundles, in the caller's transaction. Units that left before come back as they left.
pub(crate) async fn replace(
    conn: &mut pg::Connection,
    wanted: &BTreeMap<Sku, Vec<Component>>,
) -> Result<(), Error> {
    bundles::lock(conn).await?;
    bundles::delete(conn, &wanted.keys().map(Sku::as_str).collect::<Vec<_>>()).await?;
    bundles::insert(conn, wanted).await?;
    match bundles::first_nested(conn).await? {
        Some(sku) => Err(Error::Nested { sku }),
        None => Ok(()),
    }
}

/// Removes a bundle: its SKU is deducted itself from then on.
pub(crate) async fn remove(conn: &mut pg::Connection, sku: &str) -> Result<(), Error> {
    if bundles::delete(conn, &[sku]).await? > 0 { Ok(()) } else { Err(Error::NotFound) }
}

/// Reads a file with the columns `sku`, `component` and `quantity`.
pub(crate) fn read(text: &str) -> (Vec<Row>, Vec<RowError>) {
    let columns = ["sku", "component", "quantity"];
    let (rows, mut errors) = csv_rows::read(text, (&columns, &columns), row);
    let mut seen = BTreeSet::new();
    let repeated = rows.iter().filter(|(_, row)| !seen.insert((&row.sku, &row.component.sku)));
    errors.extend(repeated.map(|(number, _)| RowError {
        row: *number,
        column: "component",
        code: "duplicate",
        message: "an earlier row names the same component of the same bundle".to_owned(),
    }));
    (rows.into_iter().map(|(_, row)| row).collect(), errors)
}

fn row<'a>(number: usize, field: &dyn Fn(&str) -> Option<&'a str>) -> Result<(usize, Row), Vec<RowError>> {
    let mut errors = Vec::new();
    let mut wrong =
        |column, code, message: String| errors.push(RowError { row: number, column, code, message });
    let sku = Sku::parse(field("sku").unwrap_or_default());
    if let Err(error) = &sku {
        wrong("sku", "invalid_sku", error.to_string());
    }
    let component = Sku::parse(field("component").unwrap_or_default());
    if let Err(error) = &component {
        wrong("component", "invalid_sku", error.to_string());
    }
    let is_allowed = |it: &i64| (1..=MOST_COMPONENT_UNITS).contains(it);
    let quantity = field("quantity").and_then(|text| text.parse::<i64>().ok()).filter(is_allowed);
    if quantity.is_none() {
        let message = format!("must be a whole number from 1 to {MOST_COMPONENT_UNITS}");
        wrong("quantity", "out_of_range", message);
    }
    match (sku, component, quantity) {
        (Ok(sku), Ok(component), Some(_)) if sku == component => {
            wrong("component", "bundle_nested", "a bundle is no component of itself".to_owned());
            Err(errors)
        }
        (Ok(sku), Ok(component), Some(quantity)) => {
            Ok((number, Row { sku, component: Component { sku: component, quantity } }))
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn each_fault_of_a_file_is_named() {
        let (rows, errors) = read("sku,component,quantity\nset,wosk,2\nset,wosk,1\nset,,0\n");
        assert_eq!(rows.len(), 2);
        let found: Vec<_> = errors.iter().map(|it| (it.row, it.column, it.code)).collect();
        let expected =
            [(3, "component", "invalid_sku"), (3, "quantity", "out_of_range"), (2, "component", "duplicate")];
        assert_eq!(found, expected);
    }
}
