//! Schedules that stand still until an account's owner has connected it again.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use domain::TokenId;

use crate::store::schema::user_tokens;

/// Remembers which schedules were switched off for an account.
///
/// # Errors
/// The database's.
pub(crate) async fn remember_paused(
    conn: &mut pg::Connection,
    id: TokenId,
    names: &[String],
) -> Result<(), pg::Error> {
    let token = diesel::update(user_tokens::table.find(id.as_uuid()));
    token.set(user_tokens::paused_schedules.eq(names)).execute(conn).await?;
    Ok(())
}

#[derive(QueryableByName)]
#[diesel(table_name = user_tokens, check_for_backend(Pg))]
struct Paused {
    paused_schedules: Vec<String>,
}

/// Takes the names that were remembered; the caller switches them on.
///
/// # Errors
/// The database's.
pub(crate) async fn take_paused(conn: &mut pg::Connection, id: TokenId) -> Result<Vec<String>, pg::Error> {
    let taken: Option<Paused> = sql_query(
        "WITH remembered AS (SELECT id, paused_schedules FROM user_tokens WHERE id = $1 FOR NO KEY UPDATE) \
         UPDATE user_tokens t SET paused_schedules = '{}' FROM remembered r WHERE t.id = r.id \
         RETURNING r.paused_schedules",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .get_result(conn)
    .await
    .optional()?;
    Ok(taken.map(|it| it.paused_schedules).unwrap_or_default())
}
