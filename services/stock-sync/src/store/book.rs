//! Reading a book under locks, and writing what it decided.
//!
//! Locks are taken in one order everywhere: orders by id, then levels by SKU and warehouse. Operations are written only by
//! whoever holds their order. Two transactions wait for each other, never for one another; but where a cancelled line was
//! moved from another place meanwhile, levels are locked twice, and one of the two may have to begin again.

mod read;
mod row;
mod write;

pub(crate) use read::{levels, never, operations, orders, sold, sold_with};
pub(crate) use row::OperationRow;
pub(crate) use write::{logs, write};
