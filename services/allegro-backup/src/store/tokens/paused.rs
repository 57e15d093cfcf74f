//! Schedules that stand still until an account's owner has connected it again.

use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;

/// Remembers which schedules were switched off for an account.
///
/// # Errors
/// The database's.
pub(crate) async fn remember_paused(
    conn: &mut pg::Connection,
    id: TokenId,
    names: &[String],
) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET paused_schedules = $2 WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<Array<Text>, _>(names)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Paused {
    #[diesel(sql_type = Array<Text>)]
    names: Vec<String>,
}

/// Takes the names that were remembered; the caller switches them on.
///
/// # Errors
/// The database's.
pub(crate) async fn take_paused(conn: &mut pg::Connection, id: TokenId) -> Result<Vec<String>, pg::Error> {
    let taken: Option<Paused> = sql_query(
        "WITH remembered AS (SELECT id, paused_schedules FROM user_tokens WHERE id = $1 FOR NO KEY UPDATE) \
         UPDATE user_tokens t SET paused_schedules = '{}' FROM remembered r WHERE t.id = r.id \
         RETURNING r.paused_schedules AS names",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .get_result(conn)
    .await
    .optional()?;
    Ok(taken.map(|it| it.names).unwrap_or_default())
}
