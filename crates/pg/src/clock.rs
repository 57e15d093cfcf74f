//! The database's clock, which all replicas share.

use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

use crate::{Connection, Error};

/// Functions of Postgres in diesel's query builder.
pub mod dsl {
    #[diesel::declare_sql_function]
    extern "SQL" {
        /// The moment by the database's clock at which the transaction began. Diesel's own `now` is `CURRENT_TIMESTAMP`, which
        /// tests cannot set.
        fn now() -> Timestamptz;
    }
}

/// The current time of the database, which is the same for all processes. It decides what is due, leased or taken over.
/// In a transaction it is the time at which the transaction began, as in all its other statements.
///
/// # Errors
/// The statement fails.
pub async fn now(conn: &mut Connection) -> Result<OffsetDateTime, Error> {
    Ok(diesel::select(dsl::now()).get_result(conn).await?)
}
