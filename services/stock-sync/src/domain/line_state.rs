//! Where the units of a line are.

use domain::{AllegroOrderId, Sku};
use serde::{Deserialize, Serialize};

use super::words;

/// A line of one order or several, locked.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineState {
    /// The orders that name it.
    pub(crate) orders: Vec<AllegroOrderId>,
    /// Of them, the order that was stored last: its state decides.
    pub(crate) carrier: Option<AllegroOrderId>,
    /// Deductions so far.
    pub(crate) generation: i64,
    /// What the last deduction moved and no refund has returned.
    pub(crate) units_out: Vec<UnitsOut>,
    pub(crate) hold: Option<Hold>,
    /// Its row is not stored yet.
    pub(crate) is_new: bool,
}

/// Units of one SKU that left a warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnitsOut {
    pub(crate) sku: Sku,
    pub(crate) warehouse: String,
    pub(crate) units: i64,
}

/// Where a person keeps a line, until its carrier's state changes or a person retries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Its deduction was cancelled.
    In,
    /// Its refund was declined.
    Out,
}

words!(Hold { In = "in", Out = "out", });

impl LineState {
    /// True while its units are out of the warehouse.
    pub(crate) const fn is_out(&self) -> bool {
        !self.units_out.is_empty()
    }
}
