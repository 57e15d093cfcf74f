//! Accounts nobody works for, and how all of them fare.

use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use uuid::Uuid;

/// An account nobody works for.
pub(crate) struct Forgotten {
    /// The account.
    pub(crate) token_id: TokenId,
    /// Its owner.
    pub(crate) user_id: String,
    /// Whether its list was ever read to its end.
    pub(crate) is_read: bool,
}

#[derive(QueryableByName)]
struct ForgottenRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Bool)]
    is_read: bool,
}

/// Accounts nobody works for: active, with tokens, and with neither a task that lives nor a schedule. What a person
/// called off stays so.
///
/// # Errors
/// The database's.
pub(crate) async fn forgotten(conn: &mut pg::Connection) -> Result<Vec<Forgotten>, pg::Error> {
    let found = sql_query(
        "SELECT t.id, t.user_id, c.last_complete_list_sync IS NOT NULL AS is_read FROM user_tokens t \
             LEFT JOIN sync_cursors c ON c.token_id = t.id \
         WHERE t.is_active AND NOT t.needs_reauthorization \
           AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.queue = 'sync_' || t.id) \
           AND NOT EXISTS (SELECT 1 FROM task_history h \
               WHERE h.queue = 'sync_' || t.id AND h.status IN ('queued', 'running', 'retrying')) \
           AND (SELECT h.status FROM task_history h WHERE h.queue = 'sync_' || t.id ORDER BY h.id DESC LIMIT 1) \
               IS DISTINCT FROM 'cancelled'",
    );
    let rows: Vec<ForgottenRow> = found.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|ForgottenRow { id, user_id, is_read }| Forgotten { token_id: id.into(), user_id, is_read })
        .collect())
}

#[derive(QueryableByName)]
struct States {
    #[diesel(sql_type = BigInt)]
    active: i64,
    #[diesel(sql_type = BigInt)]
    needs_reauthorization: i64,
    #[diesel(sql_type = BigInt)]
    removed: i64,
}

/// How many accounts there are, by state.
///
/// # Errors
/// The database's.
pub(crate) async fn count_by_state(conn: &mut pg::Connection) -> Result<[(&'static str, i64); 3], pg::Error> {
    let States { active, needs_reauthorization, removed } = sql_query(
        "SELECT count(*) FILTER (WHERE is_active AND NOT needs_reauthorization) AS active, \
             count(*) FILTER (WHERE is_active AND needs_reauthorization) AS needs_reauthorization, \
             count(*) FILTER (WHERE NOT is_active) AS removed FROM user_tokens",
    )
    .get_result(conn)
    .await?;
    Ok([("active", active), ("needs_reauthorization", needs_reauthorization), ("removed", removed)])
}
