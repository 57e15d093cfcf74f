//! The schema `allegro_backup`: the only place with SQL.

pub(crate) mod authorizations;
pub(crate) mod cursors;
pub(crate) mod failed;
pub(crate) mod history;
pub(crate) mod journal;
pub(crate) mod order_export;
mod order_filter;
pub(crate) mod order_flags;
pub(crate) mod order_history;
pub(crate) mod order_import;
pub(crate) mod order_list;
mod order_lock;
pub(crate) mod order_marks;
pub(crate) mod order_statistics;
pub(crate) mod orders;
pub(crate) mod proof;
pub(crate) mod quarantine;
pub(crate) mod rereads;
mod schema;
pub(crate) mod tokens;

/// Everything sealed here: what `rotate-keys` goes through.
pub(crate) const SEALED: [pg::SealedTable; 3] =
    [tokens::SEALED, authorizations::SEALED, web::idempotency::SEALED];
