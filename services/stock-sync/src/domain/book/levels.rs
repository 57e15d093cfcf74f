//! Moving units, and seeing that a level is low.

use std::collections::BTreeMap;

use domain::events::{MovedLine, StockIsLow, StockLow};
use serde_json::json;

use super::{Book, Fact, Movement, Place, Rules, log};
use crate::domain::movement::MovementKind;
use crate::domain::operation::Operation;
use crate::domain::order_view::LineKey;

/// Why units move.
pub(super) struct Moving<'a> {
    pub(super) operation: &'a Operation,
    pub(super) key: &'a LineKey,
    /// A sale or a refund.
    pub(super) kind: MovementKind,
}

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

    /// Takes units out, or puts them back.
    pub(super) fn move_units(
        &mut self,
        moving: &Moving<'_>,
        place: &Place,
        units: i64,
        rules: &Rules<'_>,
    ) -> MovedLine {
        let Moving { operation, key, kind } = moving;
        let is_sale = *kind == MovementKind::Sale;
        let delta = if is_sale { -units } else { units };
        let level = self.levels.entry(place.clone()).or_default();
        level.on_hand = level.on_hand.saturating_add(delta);
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
            kind: *kind,
            operation_id: operation.id,
            order_id: operation.order_id.clone(),
            line_item_id: operation.line_item_id.clone(),
            line_key: (*key).clone(),
            generation: operation.generation,
        });
        if is_sale {
            let details =
                json!({ "sku": place.0, "warehouse": place.1, "quantity": units, "on_hand": on_hand });
            self.changes.logs.push(log(operation, "deducted", details));
        }
        MovedLine {
            line_item_id: operation.line_item_id.clone(),
            sku: place.0.to_string(),
            warehouse: place.1.clone(),
            quantity: units,
            on_hand,
        }
    }
}
