//! Moving units, and seeing that a level is low.

use std::collections::BTreeMap;

use domain::events::{StockIsLow, StockLow};
use serde_json::json;

use super::{Book, Fact, Movement, Place, Rules, SoldLine, log};
use crate::domain::movement::MovementKind;
use crate::domain::operation::Operation;

impl Book {
    /// What there is too little of, of what is wanted in each place: nothing when there is enough.
    pub(super) fn missing(&self, wanted: &BTreeMap<Place, i64>) -> Vec<(Place, i64, Option<i64>)> {
        let lacking = wanted.iter().filter_map(|(place, units)| {
            let level = self.levels.get(place);
            let is_enough = level.is_some_and(|it| it.allows_negative || it.on_hand >= *units);
            (!is_enough).then(|| (place.clone(), *units, level.map(|it| it.on_hand)))
        });
        lacking.collect()
    }

    /// Takes an operation's units out, or puts them back. Returns what is there afterwards.
    pub(super) fn move_units(
        &mut self,
        operation: &Operation,
        place: &Place,
        kind: MovementKind,
        rules: &Rules<'_>,
    ) -> i64 {
        let is_sale = kind == MovementKind::Sale;
        let delta = if is_sale { -operation.quantity } else { operation.quantity };
        let level = self.levels.entry(place.clone()).or_default();
        level.on_hand += delta;
        level.version += 1;
        let on_hand = level.on_hand;
        let was_low = level.is_low;
        level.is_low = level.low_threshold.is_some_and(|threshold| on_hand <= threshold);
        if level.is_low && !was_low {
            self.changes.facts.push(Fact::IsLow(StockIsLow(StockLow {
                sku: place.0.to_string(),
                warehouse: place.1.clone(),
                on_hand,
                threshold: level.low_threshold.unwrap_or_default(),
                version: level.version,
            })));
        }
        self.changes.levels.insert(place.clone());
        self.changes.movements.push(Movement {
            id: rules.ids.next_id(),
            place: place.clone(),
            delta,
            on_hand,
            kind,
            operation_id: operation.id,
            order_id: operation.order_id.clone(),
            line_item_id: operation.line_item_id.clone(),
        });
        if is_sale {
            let sold = SoldLine {
                order_id: operation.order_id.clone(),
                place: place.clone(),
                quantity: operation.quantity,
                is_back: false,
            };
            self.sold.insert(operation.line_item_id.clone(), sold);
            let details = json!({ "sku": place.0, "warehouse": place.1, "quantity": operation.quantity, "on_hand": on_hand });
            self.changes.logs.push(log(operation, "deducted", details));
        } else if let Some(sold) = self.sold.get_mut(&operation.line_item_id) {
            sold.is_back = true;
        }
        on_hand
    }
}
