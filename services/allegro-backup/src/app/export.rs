//! Everything of a user, written in constant memory.

use domain::TokenId;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::domain::archive::{AccountLine, FORMAT, Line, OrderLine, Tally};
use crate::domain::order::{Order, OrderError};
use crate::domain::table;
pub(crate) use crate::store::order_export::Scope;
use crate::store::order_export::{Account, Row, Snapshot};

/// How orders are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Everything, a JSON document on each line: what `import` reads.
    Ndjson,
    /// A row for each order: what a spreadsheet reads.
    Csv,
}

/// Why an export cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// What was stored cannot be read.
    #[error("a stored order cannot be read")]
    Stored(#[from] OrderError),
    /// What was read cannot be written.
    #[error("an order cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// What was read cannot be written.
    #[error("an order cannot be written as CSV")]
    Csv(#[from] csv::Error),
    /// A moment nobody can write down.
    #[error("a moment cannot be written")]
    Moment(#[from] time::error::Format),
}

/// An export under way. Dropped, its transaction ends, and with it the query.
#[derive(Debug)]
pub(crate) struct Export {
    snapshot: Snapshot,
    /// Those not done yet, the next one last.
    accounts: Vec<Account>,
    /// The account being written, and how far.
    current: Option<(Uuid, Stage)>,
    /// What is written before the first page.
    heading: Vec<u8>,
    /// The trailer's counts; none after the trailer was written, and in a table, which has no trailer.
    tally: Option<Tally>,
    /// Orders written so far.
    pub(crate) orders: usize,
}

/// How far an account is written.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Up to this order.
    Orders(Option<(OffsetDateTime, Uuid)>),
    /// All orders, and the quarantined ones up to this number.
    Quarantined(i64),
}

impl Export {
    /// Begins.
    ///
    /// # Errors
    /// [`ExportError`].
    pub(crate) async fn begin(pool: &pg::Pool, scope: Scope, format: Format) -> Result<Self, ExportError> {
        let scope = Scope { with_versions: format == Format::Ndjson, ..scope };
        let mut snapshot = Snapshot::begin(pool, scope).await?;
        let mut accounts = snapshot.accounts().await?;
        accounts.reverse();
        let mut heading = Vec::new();
        if format == Format::Csv {
            table::row(table::COLUMNS, &mut heading)?;
        }
        let tally = (format == Format::Ndjson).then(Tally::default);
        Ok(Self { snapshot, accounts, current: None, heading, tally, orders: 0 })
    }

    /// An export without accounts.
    ///
    /// # Errors
    /// None in practice, because it writes to memory.
    pub(crate) fn of_nobody(format: Format) -> Result<Vec<u8>, ExportError> {
        let mut whole = Vec::new();
        match format {
            Format::Ndjson => write_line(&Line::Trailer(Tally::default().trailer()), &mut whole)?,
            Format::Csv => table::row(table::COLUMNS, &mut whole)?,
        }
        Ok(whole)
    }

    /// True when there is no account to write of.
    pub(crate) fn is_of_nobody(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many orders there are to write.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn count(&mut self) -> Result<i64, ExportError> {
        let mut all = 0;
        for account in &self.accounts {
            all += self.snapshot.count(account.id).await?;
        }
        Ok(all)
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// [`ExportError`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        let mut part = std::mem::take(&mut self.heading);
        loop {
            let Some((account, stage)) = self.current else {
                let Some(account) = self.accounts.pop() else {
                    if let Some(tally) = self.tally.take() {
                        write_line(&Line::Trailer(tally.trailer()), &mut part)?;
                    }
                    return Ok((!part.is_empty()).then_some(part));
                };
                self.current = Some((account.id, Stage::Orders(None)));
                if let Some(tally) = &mut self.tally {
                    write_counted(tally, &Line::Account(account.into()), &mut part)?;
                }
                continue;
            };
            let after = match stage {
                Stage::Orders(after) => after,
                Stage::Quarantined(after) => {
                    self.quarantined(account, after, &mut part).await?;
                    if self.current.is_some() {
                        return Ok(Some(part));
                    }
                    continue;
                }
            };
            let rows = self.snapshot.page(account, after).await?;
            let stage = rows
                .last()
                .map_or(Stage::Quarantined(0), |last| Stage::Orders(Some((last.order_date, last.id))));
            // A table has no rows for orders that could not be read.
            let is_done = matches!(stage, Stage::Quarantined(_)) && self.tally.is_none();
            self.current = (!is_done).then_some((account, stage));
            self.orders += rows.len();
            for row in rows {
                match &mut self.tally {
                    Some(tally) => {
                        write_counted(tally, &Line::Order(Box::new(line(account, row)?)), &mut part)?;
                    }
                    None => write_row(account, &row, &mut part)?,
                }
            }
            if self.current.is_some() {
                return Ok(Some(part));
            }
        }
    }
}

impl Export {
    /// Writes a page of an account's quarantined orders after the one of this number.
    async fn quarantined(
        &mut self,
        account: Uuid,
        after: i64,
        part: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        let lines = self.snapshot.quarantined(account, after).await?;
        self.current = lines.last().map(|(seq, _)| (account, Stage::Quarantined(*seq)));
        for (_, line) in lines {
            if let Some(tally) = &mut self.tally {
                write_counted(tally, &Line::Quarantined(Box::new(line)), part)?;
            }
        }
        Ok(())
    }
}

impl From<Account> for AccountLine {
    fn from(account: Account) -> Self {
        Self {
            format: FORMAT,
            id: account.id,
            user_id: account.user_id,
            account_name: account.account_name,
            allegro_seller_id: account.allegro_seller_id,
            allegro_login: account.allegro_login,
            connected_at: account.connected_at,
            is_active: account.is_active,
        }
    }
}

fn write_line(line: &Line, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *to, line)?;
    to.push(b'\n');
    Ok(())
}

/// Writes a line and adds it to the tally of the trailer.
fn write_counted(tally: &mut Tally, line: &Line, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let text = serde_json::to_vec(line)?;
    tally.add(&text, matches!(line, Line::Order(_)));
    to.extend_from_slice(&text);
    to.push(b'\n');
    Ok(())
}

fn line(account: Uuid, row: Row) -> Result<OrderLine, serde_json::Error> {
    Ok(OrderLine {
        id: row.id,
        token_id: account,
        allegro_order_id: row.allegro_order_id,
        version: row.version,
        seen_at: row.asked_at,
        source: row.source,
        lost_data: row.lost_data,
        ready_announced: row.ready_announced,
        cancel_announced: row.cancel_announced,
        is_deleted: row.is_deleted,
        merged_into: row.merged_into,
        is_stock_updated: row.is_stock_updated,
        stock_updated_at: row.stock_updated_at,
        has_invoice_created: row.has_invoice_created,
        invoice_id: row.invoice_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        content_hash: row.content_hash,
        order_data: RawValue::from_string(row.order_data)?,
        versions: RawValue::from_string(row.versions)?,
    })
}

fn write_row(account: Uuid, row: &Row, to: &mut Vec<u8>) -> Result<(), ExportError> {
    let order = Order::read(&row.order_data)?;
    let moment = |at: Option<OffsetDateTime>| at.map_or(Ok(String::new()), |at| at.format(&Rfc3339));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (amount, currency) = order
        .form
        .total
        .map_or_else(Default::default, |total| (total.to_string(), total.currency().to_string()));
    let cells = [
        TokenId::from(account).to_string(),
        row.allegro_order_id.clone(),
        row.order_date.format(&Rfc3339)?,
        order.status().unwrap_or_default().to_owned(),
        order.fulfillment_status().unwrap_or_default().to_owned(),
        text(&order.form.revision),
        row.version.to_string(),
        moment(order.form.updated_at)?,
        text(&order.form.buyer_login),
        amount,
        currency,
        order.line_items.iter().filter_map(|line| line.quantity).fold(0_i64, i64::saturating_add).to_string(),
        table::skus(&order.line_items),
        row.is_stock_updated.to_string(),
        moment(row.stock_updated_at)?,
        row.has_invoice_created.to_string(),
        text(&row.invoice_id),
        row.is_deleted.to_string(),
        text(&row.merged_into),
        row.updated_at.format(&Rfc3339)?,
    ];
    Ok(table::row(cells.iter().map(String::as_str), to)?)
}
