//! The time that all replicas agree on.

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

/// The moment by the database's clock, which is the same for every process: what is due, leased or taken over is decided
/// by it. In a transaction it is the moment the transaction began, as it is for every other statement of it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn now(conn: &mut Connection) -> Result<OffsetDateTime, Error> {
    let row: Now = sql_query("SELECT now() AS now").get_result(conn).await?;
    Ok(row.now)
}
