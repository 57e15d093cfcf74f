//! Orders as a table: CSV (RFC 4180), a row for each order.

use std::borrow::Cow;
use std::fmt::Write as _;

use ::domain::events::LineItem;

/// What a row holds, in this order; documented in docs/guides/export-and-restore.md.
pub(crate) const COLUMNS: [&str; 20] = [
    "token_id",
    "allegro_order_id",
    "order_date",
    "status",
    "fulfillment_status",
    "revision",
    "version",
    "allegro_updated_at",
    "buyer_login",
    "total_amount",
    "total_currency",
    "items",
    "skus",
    "is_stock_updated",
    "stock_updated_at",
    "has_invoice_created",
    "invoice_id",
    "is_deleted",
    "merged_into",
    "updated_at",
];

/// Writes a row.
///
/// # Errors
/// None in practice: memory is written to.
pub(crate) fn row<'a>(cells: impl IntoIterator<Item = &'a str>, to: &mut Vec<u8>) -> Result<(), csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
    writer.write_record(cells.into_iter().map(guarded).map(Cow::into_owned).map(String::into_bytes))?;
    Ok(writer.flush()?)
}

/// A cell a spreadsheet would take for a formula, made text: a buyer chooses a login, and must not choose what the
/// seller's spreadsheet runs.
fn guarded(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

/// What was bought, as "sku x2; sku x1"; an offer without SKU by its id, an unreadable quantity as `?`.
pub(crate) fn skus(lines: &[LineItem]) -> String {
    let mut told = String::new();
    for line in lines {
        let separator = if told.is_empty() { "" } else { "; " };
        let name = line.sku.as_deref().or(line.offer_id.as_deref()).unwrap_or(&line.id);
        let quantity = line.quantity.map_or_else(|| "?".to_owned(), |quantity| quantity.to_string());
        // Writing to a string cannot fail.
        let _ = write!(told, "{separator}{name} x{quantity}");
    }
    told
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::row;

    #[test]
    fn no_cell_becomes_a_formula_or_breaks_out() {
        let mut written = Vec::new();
        let cells = ["=1+1", "+48", "-5", "@x", "\tx", "zażółć, \"gęślą\"", "jaźń\nдва", "", "12.30"];
        row(cells, &mut written).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "'=1+1,'+48,'-5,'@x,'\tx,\"zażółć, \"\"gęślą\"\"\",\"jaźń\nдва\",,12.30\r\n"
        );
    }
}
