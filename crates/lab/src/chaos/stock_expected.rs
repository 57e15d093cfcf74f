//! Computes the expected stock from the sandbox's sales, and compares movements, levels and flags with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Context, Result};
use serde_json::Value;
use stack::Stack;

use super::stock_submissions::Account;
use crate::demo::allegro::Allegro;
use crate::demo::stock::Stock;

/// The SKUs that every shop of the sandbox sells.
pub(super) const GOODS: [&str; 6] = ["AH-000", "AH-001", "AH-002", "AH-003", "AH-004", "AH-005"];
/// Maximum number of printed errors.
const SHOWN: usize = 5;

/// Orders by their ids.
pub(super) type Ids = HashSet<String>;

/// An existing order, with its fields that affect stock.
struct Order {
    is_ready: bool,
    is_cancelled: bool,
    is_allegros: bool,
    lines: Vec<Line>,
}

struct Line {
    id: String,
    sku: Option<String>,
    quantity: i64,
}

/// The expected state of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Deducted.
    Sold,
    /// Refunded, or never deducted.
    Refunded,
    /// Not ours.
    Unchanged,
}

/// Every existing order, by account.
pub(super) struct ExpectedStock {
    orders: HashMap<String, Order>,
    /// Orders that were merged into others.
    merged: Ids,
    accounts: Vec<(String, Vec<String>)>,
}

/// One guarantee: the number of checked items, and the wrong ones.
struct Row {
    promise: &'static str,
    count: usize,
    wrong: Vec<String>,
}

/// Prints the guarantee and returns whether it holds.
pub(super) struct Verdict(Vec<Row>);

impl Verdict {
    pub(super) fn is_met(&self) -> bool {
        self.0.iter().all(|row| row.wrong.is_empty())
    }

    pub(super) fn print(&self) {
        for Row { promise, count, wrong } in &self.0 {
            let verdict = if wrong.is_empty() { "yes" } else { "NO " };
            println!("  {promise:<62} {count:>8}  {verdict} {}", print_some(wrong));
        }
    }
}

fn print_some(wrong: &[String]) -> String {
    let more = wrong.len().saturating_sub(SHOWN);
    let mut words = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        words = format!("{words}; and {more} more");
    }
    words
}

impl ExpectedStock {
    /// Reads the orders from the sandbox.
    pub(super) fn read(allegro: &Allegro, accounts: &[Account]) -> Result<Self> {
        let mut truth = Self { orders: HashMap::new(), merged: Ids::new(), accounts: Vec::new() };
        let mut read = HashMap::<&str, Vec<String>>::new();
        for Account { seller, token_id } in accounts {
            if !read.contains_key(seller.as_str()) {
                let mut ids = Vec::new();
                allegro.each_order(seller, |line| {
                    let (id, order) = order(line.get("document").context("no document")?)?;
                    ids.push(id.clone());
                    truth.orders.insert(id, order);
                    Ok(())
                })?;
                truth.merged.extend(allegro.merged_away(seller)?);
                read.insert(seller, ids);
            }
            let ids = read.get(seller.as_str()).cloned().unwrap_or_default();
            truth.accounts.push((token_id.clone(), ids));
        }
        Ok(truth)
    }

    /// The ids of the orders.
    pub(super) fn ids(&self) -> Ids {
        self.orders.keys().cloned().collect()
    }

    /// Compares it with movements, levels and flags. Past orders must not be deducted.
    pub(super) fn judge(&self, stack: &Stack, stock_sync: &Stock, past: &Ids, units: i64) -> Result<Verdict> {
        let expected_lines = self.expected_lines(past);
        let moved = moved(stack)?;
        let count = |expected| expected_lines.values().filter(|(it, _)| *it == expected).count();
        let mut left = BTreeMap::<&str, i64>::new();
        for (expected, line) in expected_lines.values() {
            if let (Expected::Sold, Some(sku)) = (expected, &line.sku) {
                *left.entry(sku).or_default() += line.quantity;
            }
        }
        let mut levels = Vec::new();
        for sku in GOODS {
            let (is, should) = (stock_sync.on_hand(sku)?, units - left.get(sku).copied().unwrap_or_default());
            if is != should {
                levels.push(format!("{sku}: {is} instead of {should}"));
            }
        }
        let open = rows(stack, "stock_sync", OPEN)?;
        let is_merged = |row: &Vec<String>| row.first().is_some_and(|id| self.merged.contains(id));
        let (merged, open): (Vec<_>, Vec<_>) = open.into_iter().partition(is_merged);
        let (flags, wrong_flags) = self.flags(stack, past)?;
        Ok(Verdict(vec![
            Row {
                promise: "each sold line is deducted once",
                count: count(Expected::Sold),
                wrong: wrong(&expected_lines, &moved, Expected::Sold),
            },
            Row {
                promise: "each line of a cancelled order is refunded, or never deducted",
                count: count(Expected::Refunded),
                wrong: wrong(&expected_lines, &moved, Expected::Refunded),
            },
            Row {
                promise: "no line that is past, without SKU or shipped by Allegro moved",
                count: count(Expected::Unchanged),
                wrong: wrong(&expected_lines, &moved, Expected::Unchanged),
            },
            Row {
                promise: "no other line moved",
                count: moved.len(),
                wrong: moved.keys().filter(|id| !expected_lines.contains_key(id.as_str())).cloned().collect(),
            },
            Row {
                promise: "levels equal the initial units less the sold ones",
                count: GOODS.len(),
                wrong: levels,
            },
            Row { promise: "each order's flag at allegro-backup is right", count: flags, wrong: wrong_flags },
            Row {
                promise: "no operation is open or failed, except of merged orders",
                count: merged.len(),
                wrong: open.iter().map(|row| row.join(" ")).collect(),
            },
        ]))
    }

    /// The expected state of each line.
    fn expected_lines(&self, past: &Ids) -> HashMap<&str, (Expected, &Line)> {
        let mut expected_lines = HashMap::new();
        for (id, order) in &self.orders {
            for line in &order.lines {
                let expected = if past.contains(id) || order.is_allegros || line.sku.is_none() {
                    Expected::Unchanged
                } else if order.is_cancelled || !order.is_ready {
                    Expected::Refunded
                } else {
                    Expected::Sold
                };
                expected_lines.insert(line.id.as_str(), (expected, line));
            }
        }
        expected_lines
    }

    /// Number of flags, and the wrong ones.
    fn flags(&self, stack: &Stack, past: &Ids) -> Result<(usize, Vec<String>)> {
        let flagged: BTreeSet<(String, String)> = rows(stack, "allegro_backup", FLAGGED)?
            .into_iter()
            .filter_map(|row| <[String; 2]>::try_from(row).ok().map(<(String, String)>::from))
            .collect();
        let (mut right, mut wrong) = (0, Vec::new());
        for (token_id, ids) in &self.accounts {
            for id in ids {
                let Some(order) = self.orders.get(id) else { continue };
                let is_sold = order.is_ready && !order.is_cancelled && !order.is_allegros;
                let expected = is_sold && !past.contains(id) && order.lines.iter().any(|it| it.sku.is_some());
                if flagged.contains(&(token_id.clone(), id.clone())) == expected {
                    right += usize::from(expected);
                } else {
                    wrong.push(format!("{id} should be {expected} for {token_id}"));
                }
            }
        }
        Ok((right, wrong))
    }
}

/// Movements of a line: units of each sale, and refunded units.
#[derive(Default)]
struct Moved {
    sku: String,
    sales: Vec<i64>,
    refunds: Vec<i64>,
}

const MOVED: &str = "SELECT line_item_id, kind, sku, abs(delta) FROM stock_movements \
     WHERE kind IN ('sale', 'refund') AND sku NOT LIKE 'last-%'";
const FLAGGED: &str =
    "SELECT token_id, allegro_order_id FROM orders WHERE is_stock_updated AND NOT is_deleted";
/// A line without SKU waits for a person.
const OPEN: &str = "SELECT order_id, operation_type, status, coalesce(error_message, '-') FROM pending_stock_operations \
     WHERE status NOT IN ('completed', 'cancelled') AND sku IS NOT NULL AND order_id NOT LIKE 'order-%'";

fn moved(stack: &Stack) -> Result<HashMap<String, Moved>> {
    let mut moved = HashMap::<String, Moved>::new();
    for row in rows(stack, "stock_sync", MOVED)? {
        let [id, kind, sku, units] = row.try_into().ok().context("psql printed other than four columns")?;
        let line = moved.entry(id).or_default();
        line.sku = sku;
        if kind == "sale" { &mut line.sales } else { &mut line.refunds }.push(units.parse()?);
    }
    Ok(moved)
}

/// Lines that differ from the expected state.
fn wrong(
    expected_lines: &HashMap<&str, (Expected, &Line)>,
    moved: &HashMap<String, Moved>,
    kind: Expected,
) -> Vec<String> {
    let none = Moved::default();
    let found =
        expected_lines.iter().filter(|(_, (expected, _))| *expected == kind).filter_map(|(id, (_, line))| {
            let moved = moved.get(*id).unwrap_or(&none);
            let is_itself = line.sku.as_ref() == Some(&moved.sku);
            let is_right = match kind {
                Expected::Sold => is_itself && moved.sales == [line.quantity] && moved.refunds.is_empty(),
                Expected::Refunded => moved.sales.len() <= 1 && moved.sales == moved.refunds,
                Expected::Unchanged => moved.sales.is_empty() && moved.refunds.is_empty(),
            };
            (!is_right).then(|| format!("{id}: −{:?} +{:?} of {}", moved.sales, moved.refunds, line.quantity))
        });
    found.collect()
}

/// Parses the rows and columns of an answer.
fn rows(stack: &Stack, role: &str, query: &str) -> Result<Vec<Vec<String>>> {
    Ok(stack.ask(role, query)?.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

fn order(document: &Value) -> Result<(String, Order)> {
    let text = |place: &str| document.pointer(place).and_then(Value::as_str).unwrap_or_default();
    let mut lines = Vec::new();
    for line in document.get("lineItems").and_then(Value::as_array).into_iter().flatten() {
        lines.push(Line {
            id: line.get("id").and_then(Value::as_str).context("a line without id")?.to_owned(),
            sku: line.pointer("/offer/external/id").and_then(Value::as_str).map(str::to_owned),
            quantity: line.get("quantity").and_then(Value::as_i64).context("a line without quantity")?,
        });
    }
    let order = Order {
        is_ready: text("/status") == "READY_FOR_PROCESSING",
        is_cancelled: [text("/status"), text("/fulfillment/status")].contains(&"CANCELLED"),
        is_allegros: text("/fulfillment/provider/id") == "ALLEGRO",
        lines,
    };
    Ok((text("/id").to_owned(), order))
}
