//! Reading a book under locks, and writing what it decided.
//!
//! Locks are taken in one order everywhere: orders by id, then lines by key, then levels by SKU and warehouse. Operations and
//! views are written only under the lock of their order. Two transactions wait for each other, never for one another; but where
//! a line was merged into another order meanwhile, orders are locked twice, and one of the two may have to begin again.

mod lines;
mod read;
mod row;
mod views;
mod write;

pub(crate) use lines::{lines, naming};
pub(crate) use read::{levels, operations, orders};
pub(crate) use row::OperationRow;
pub(crate) use views::views;
pub(crate) use write::{logs, write};
