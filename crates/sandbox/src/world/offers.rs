//! The shops' offers, and commands that change their quantity (section 5 of the facts about stock).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::clock::written;
use super::generator::{GOODS, offer_id, sku};

/// Initial quantity of every offer.
const STOCK: i64 = 100;

/// The body of a quantity command.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct QuantityCommand {
    modification: Modification,
    #[serde(rename = "offerCriteria")]
    criteria: Vec<Criterion>,
}

#[derive(Debug, Clone, Deserialize)]
struct Modification {
    #[serde(rename = "changeType")]
    kind: String,
    value: i64,
}

#[derive(Debug, Clone, Deserialize)]
struct Criterion {
    #[serde(rename = "type")]
    kind: String,
    offers: Vec<Named>,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    id: String,
}

/// An accepted command.
struct Command {
    seller: String,
    at: OffsetDateTime,
    tasks: Vec<(String, Option<&'static str>)>,
}

/// The stock of every seller's offers, and the commands that changed it.
#[derive(Default)]
pub(crate) struct Commands {
    stock: HashMap<(String, String), i64>,
    taken: HashMap<Uuid, Command>,
}

impl QuantityCommand {
    /// The invalid field, and the rule.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        match self.modification.kind.as_str() {
            "FIXED" if self.modification.value <= 0 => {
                return Err(("modification.value", "must be greater than 0"));
            }
            "FIXED" | "GAIN" => {}
            _ => return Err(("modification.changeType", "must be FIXED or GAIN")),
        }
        let offers: usize = self.criteria.iter().map(|it| it.offers.len()).sum();
        if offers == 0 || offers > 1000 {
            return Err(("offerCriteria", "must name between 1 and 1000 offers"));
        }
        if self.criteria.iter().any(|it| it.kind != "CONTAINS_OFFERS") {
            return Err(("offerCriteria[0].type", "must be CONTAINS_OFFERS"));
        }
        Ok(())
    }
}

impl Commands {
    fn stock(&self, seller: &str, offer: &str) -> i64 {
        self.stock.get(&(seller.to_owned(), offer.to_owned())).copied().unwrap_or(STOCK)
    }

    /// The offers of a seller, optionally only those with the named SKUs and ids.
    pub(crate) fn offers(&self, seller: &str, skus: &[&str], ids: &[&str]) -> Vec<Value> {
        let is_in = |list: &[&str], value: &str| list.is_empty() || list.contains(&value);
        let wanted = GOODS.iter().enumerate().map(|(at, goods)| (offer_id(at), sku(at), goods));
        wanted
            .filter(|(id, sku, _)| is_in(ids, id) && is_in(skus, sku))
            .map(|(id, sku, (name, price))| {
                json!({
                    "id": id, "name": name, "external": { "id": sku },
                    "stock": { "available": self.stock(seller, &id), "sold": null },
                    "publication": { "status": "ACTIVE" },
                    "sellingMode": {
                        "format": "BUY_NOW",
                        "price": { "amount": format!("{}.{:02}", price / 100, price % 100), "currency": "PLN" },
                    },
                })
            })
            .collect()
    }

    /// Executes a command. `None` when its id was used before.
    pub(crate) fn take(
        &mut self,
        id: Uuid,
        seller: &str,
        command: &QuantityCommand,
        at: OffsetDateTime,
    ) -> Option<Value> {
        if self.taken.contains_key(&id) {
            return None;
        }
        let mut tasks = Vec::new();
        for named in command.criteria.iter().flat_map(|it| &it.offers) {
            let is_known = (0..GOODS.len()).any(|at| offer_id(at) == named.id);
            let before = self.stock(seller, &named.id);
            let after = if command.modification.kind == "FIXED" {
                command.modification.value
            } else {
                before.saturating_add(command.modification.value)
            };
            let fault = match () {
                () if !is_known => Some("Offer not found"),
                () if after < 0 => Some("Quantity must not be negative"),
                () => None,
            };
            if fault.is_none() {
                self.stock.insert((seller.to_owned(), named.id.clone()), after);
            }
            tasks.push((named.id.clone(), fault));
        }
        self.taken.insert(id, Command { seller: seller.to_owned(), at, tasks });
        // Asynchronous: the first answer shows no task yet.
        Some(report(id, at, (0, 0, 0)))
    }

    /// The result of a seller's command.
    pub(crate) fn report(&self, id: Uuid, seller: &str) -> Option<Value> {
        let command = self.taken.get(&id).filter(|it| it.seller == seller)?;
        let failed = command.tasks.iter().filter(|(_, fault)| fault.is_some()).count();
        Some(report(id, command.at, (command.tasks.len(), command.tasks.len() - failed, failed)))
    }

    /// The result for each offer of a command.
    pub(crate) fn tasks(&self, id: Uuid, seller: &str) -> Option<Vec<Value>> {
        let command = self.taken.get(&id).filter(|it| it.seller == seller)?;
        let task = |(offer, fault): &(String, Option<&'static str>)| {
            let errors = fault.map(|text| {
                json!({
                    "code": "VALIDATION_ERROR", "message": text, "details": null, "path": "offer.id",
                    "userMessage": text,
                })
            });
            json!({
                "offer": { "id": offer },
                "status": if fault.is_some() { "FAIL" } else { "SUCCESS" },
                "field": "quantity",
                "message": fault.unwrap_or_default(),
                "errors": errors.into_iter().collect::<Vec<_>>(),
            })
        };
        Some(command.tasks.iter().map(task).collect())
    }
}

fn report(id: Uuid, at: OffsetDateTime, (total, success, failed): (usize, usize, usize)) -> Value {
    json!({
        "id": id,
        "createdAt": written(at),
        "completedAt": written(at),
        "taskCount": { "failed": failed, "success": success, "total": total },
    })
}
