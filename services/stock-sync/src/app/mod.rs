//! Use cases.

pub(crate) mod accounts;
pub(crate) mod after_commit;
pub(crate) mod bundles;
pub(crate) mod csv_rows;
pub(crate) mod goods;
pub(crate) mod import;
pub(crate) mod inventory;
pub(crate) mod ledger;
pub(crate) mod marker;
pub(crate) mod operations;
pub(crate) mod reconcile;
pub(crate) mod rush;
pub(crate) mod warehouses;
pub(crate) mod watch;
