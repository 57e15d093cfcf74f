//! The database's clock, which all replicas share.

use diesel::sql_types::Timestamptz;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;

use crate::{Connection, Error};

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: OffsetDateTime,
}

/// The current time of the database, which is the same for all processes. It decides what is due, leased or taken over.
/// In a transaction it is the time at which the transaction began, as in all its other statements.
///
/// # Errors
/// The statement fails.
pub async fn now(conn: &mut Connection) -> Result<OffsetDateTime, Error> {
    let row: Now = sql_query("SELECT now() AS now").get_result(conn).await?;
    Ok(row.now)
}
