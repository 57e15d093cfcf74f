//! The only place with SQL.

pub(crate) mod accounts;
pub(crate) mod book;
pub(crate) mod bundles;
pub(crate) mod compare;
pub(crate) mod goods;
pub(crate) mod ledger;
pub(crate) mod levels;
pub(crate) mod marks;
pub(crate) mod movements;
pub(crate) mod operations;
pub(crate) mod reconciliations;
pub(crate) mod retention;
mod schema;
pub(crate) mod statistics;
pub(crate) mod warehouses;
