//! Use cases: each decides, writes and tells in one transaction.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod cleanup;
pub(crate) mod connect;
pub(crate) mod details;
pub(crate) mod event_sync;
pub(crate) mod export;
pub(crate) mod flags;
pub(crate) mod gauges;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod landing;
pub(crate) mod list_sync;
pub(crate) mod orders;
pub(crate) mod pair;
pub(crate) mod proof;
pub(crate) mod refetch;
pub(crate) mod refresh;
pub(crate) mod rereading;
pub(crate) mod statistics;
pub(crate) mod syncs;
pub(crate) mod upsert;
pub(crate) mod verify;
pub(crate) mod versions;
pub(crate) mod watch;
pub(crate) mod work;
