//! What routes about the inventory share.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Caller, Problem};

use super::problems::{NOT_OF_ONE_USER, STOCK_CHANGED, TOO_FEW, WAREHOUSE_NOT_FOUND};
use crate::app::inventory::{ChangeError, Level, MOST_UNITS, Movement, Refused};

/// How much there is of one thing in one place.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "sku": "AH-129834", "warehouse": "Ирина", "on_hand": 12, "low_threshold": 5, "is_low": false, "version": 3,
    "updated_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct LevelView {
    sku: String,
    warehouse: String,
    on_hand: i64,
    /// From how many units down it counts as low; never when null.
    low_threshold: Option<i64>,
    is_low: bool,
    /// Grows with each change.
    version: i64,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// A row of the ledger.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "sku": "AH-129834", "warehouse": "Ирина", "delta": -2, "on_hand": 12,
    "kind": "sale", "operation_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398b",
    "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "line_item_id": "62ae358b-8f65-4fc4-9c77-bedf604a2e2b",
    "note": null, "who": null, "created_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct MovementView {
    id: Uuid,
    sku: String,
    warehouse: String,
    /// Units added; negative when taken away.
    delta: i64,
    /// Units there were afterwards.
    on_hand: i64,
    /// `sale`, `refund`, `adjustment`, `import` or `receipt`.
    #[schema(example = "sale")]
    kind: String,
    operation_id: Option<Uuid>,
    order_id: Option<String>,
    line_item_id: Option<String>,
    note: Option<String>,
    /// The caller who did it, for what people did.
    who: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// The shelf is the shop's, not one user's: who may see only what is one user's has no business here.
///
/// # Errors
/// 403 for a credential that is bound to a user.
pub(super) fn shop(caller: &Caller) -> Result<(), Problem> {
    if caller.user_id.is_some() { Err(Problem::new(&NOT_OF_ONE_USER)) } else { Ok(()) }
}

pub(super) fn in_range(units: i64) -> bool {
    (-MOST_UNITS..=MOST_UNITS).contains(&units)
}

pub(super) fn is_note(note: Option<&str>) -> bool {
    note.is_none_or(|note| note.chars().count() <= 1000)
}

pub(super) fn problem(error: &ChangeError) -> Problem {
    match error {
        ChangeError::Refused(refused @ Refused::NoWarehouse) => {
            Problem::new(&WAREHOUSE_NOT_FOUND).detail(refused.to_string())
        }
        ChangeError::Refused(refused @ Refused::Version(_)) => {
            Problem::new(&STOCK_CHANGED).detail(refused.to_string())
        }
        ChangeError::Refused(refused @ (Refused::TooFew(_) | Refused::TooMany)) => {
            Problem::new(&TOO_FEW).detail(refused.to_string())
        }
        ChangeError::Database(error) => Problem::database(error),
    }
}

impl From<Level> for LevelView {
    fn from(level: Level) -> Self {
        Self {
            sku: level.sku,
            warehouse: level.warehouse,
            on_hand: level.on_hand,
            low_threshold: level.low_threshold,
            is_low: level.is_low,
            version: level.version,
            updated_at: level.updated_at,
        }
    }
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        Self {
            id: movement.id,
            sku: movement.sku,
            warehouse: movement.warehouse,
            delta: movement.delta,
            on_hand: movement.on_hand,
            kind: movement.kind,
            operation_id: movement.operation_id,
            order_id: movement.order_id,
            line_item_id: movement.line_item_id,
            note: movement.note,
            who: movement.who,
            created_at: movement.created_at,
        }
    }
}
