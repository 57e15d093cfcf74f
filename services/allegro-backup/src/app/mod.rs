//! Use cases: each decides, writes and tells in one transaction.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod connect;
pub(crate) mod event_sync;
pub(crate) mod export;
pub(crate) mod first_sync;
pub(crate) mod flags;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod orders;
pub(crate) mod pair;
pub(crate) mod refetch;
pub(crate) mod refresh;
pub(crate) mod statistics;
pub(crate) mod syncs;
pub(crate) mod upsert;
pub(crate) mod watch;
pub(crate) mod work;
