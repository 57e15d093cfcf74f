//! Compares stored orders with their source: ids, revisions and contents.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use stack::{Stack, process};

use crate::demo::allegro::Allegro;

/// Maximum number of printed differences.
const SHOWN: usize = 5;

/// Revision and content hash of each order, by seller and id.
type Orders = BTreeMap<(String, String), (String, u64)>;

/// The result of a comparison.
pub(crate) struct Comparison {
    pub(crate) source: usize,
    pub(crate) stored: usize,
    /// Some of the differences, as text.
    pub(crate) differences: Vec<String>,
}

impl Comparison {
    /// Whether both are equal.
    pub(crate) const fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares every order of these sellers with the stored one.
pub(crate) fn compare(stack: &Stack, allegro: &Allegro, sellers: &[String]) -> Result<Comparison> {
    let mut source = Orders::new();
    for seller in sellers {
        allegro.each_order(seller, |line| {
            let document = line.get("document").context("the sandbox returned no document")?;
            add(&mut source, seller, document);
            Ok(())
        })?;
    }
    let stored = stored(stack)?;
    let mut differences = Vec::new();
    for (key, there) in &source {
        match stored.get(key) {
            Some(here) if here == there => {}
            Some(here) => differences.push(format!("{} has {} instead of {}", key.1, here.0, there.0)),
            None => differences.push(format!("{} is missing", key.1)),
        }
    }
    let known = |key: &&(String, String)| sellers.contains(&key.0) && !source.contains_key(*key);
    differences.extend(stored.keys().filter(known).map(|key| format!("{} is no order any more", key.1)));
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok(Comparison { source: source.len(), stored: stored.len(), differences })
}

fn stored(stack: &Stack) -> Result<Orders> {
    let file = stack::folder().join("stored.copy");
    let rows = "SELECT t.allegro_seller_id, o.order_data FROM orders o JOIN user_tokens t ON t.id = o.token_id \
                WHERE NOT o.is_deleted";
    let copy = format!("\\copy ({rows}) TO '{}'", file.display());
    let database = stack.database("allegro_backup")?;
    process::run(Command::new(stack::psql()?).args(["-qAt", "-d", &database, "-c", &copy]))?;
    let mut orders = Orders::new();
    for line in BufReader::new(File::open(&file)?).lines() {
        let line = line?;
        let (seller, document) = line.split_once('\t').context("psql printed other than two columns")?;
        // COPY doubles each backslash. Other escapes do not occur in JSON.
        add(&mut orders, seller, &serde_json::from_str(&document.replace("\\\\", "\\"))?);
    }
    std::fs::remove_file(&file)?;
    Ok(orders)
}

fn add(orders: &mut Orders, seller: &str, document: &Value) {
    let part = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    orders.insert((seller.to_owned(), part("id")), (part("revision"), digest(document)));
}

/// A hash that does not depend on the order of the fields.
fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, field) in sorted {
                name.hash(&mut hasher);
                digest(field).hash(&mut hasher);
            }
            b'{'.hash(&mut hasher);
        }
        Value::Array(items) => {
            for item in items {
                digest(item).hash(&mut hasher);
            }
            b'['.hash(&mut hasher);
        }
        plain => plain.to_string().hash(&mut hasher),
    }
    hasher.finish()
}
