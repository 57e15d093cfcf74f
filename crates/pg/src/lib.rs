//! Postgres: the pool, transactions, migrations, errors by constraint, and columns sealed at rest.
//!
//! SQL names its tables without a schema: each service's role has its own schema as `search_path`.

mod clock;
mod columns;
mod connection;
mod corrupt;
mod error;
mod gauges;
mod guard;
mod keys;
mod listen;
mod migrate;
mod pool;
mod prepared;
mod replicas;
mod retention;
mod rotate;
mod schema;
pub mod sealed;
mod tables;
mod tls;
mod transaction;

pub use clock::{dsl, now};
pub use columns::Columns;
pub use connection::{Connected, connect};
pub use corrupt::{CorruptRow, restore_corrupt_rows, take_corrupt_rows};
pub use diesel_async::AsyncPgConnection as Connection;
pub use error::Error;
pub use guard::{PoolGuard, Unfit};
pub use listen::Listener;
pub use migrate::{MigrateError, migrate};
pub use pool::{Pool, PooledConnection, may_try_again};
pub use prepared::{Prepared, prepared};
pub use retention::{RetentionPolicy, housekeeping};
pub use rotate::{RotateError, RotateKeys, SealedTable, rotate};
pub use schema::{Schema, SchemaGap};
pub use transaction::{Transaction, savepoint};
