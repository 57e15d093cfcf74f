//! Notices as they are read, and their addresses.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text as SqlText, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::Language;
use time::OffsetDateTime;

use crate::model::{Notice, Stage, Text};

/// Notices addressed in one transaction.
const BATCH: i64 = 100;

/// What a [`Notice`] is read from: `n` is `alert_notices`, `a` is `alerts`, `$1` the language.
pub(super) const NOTICE: &str = "n.id, a.kind, a.cause, n.stage, n.severity, a.texts -> $1 ->> 'title' AS title, \
     a.texts -> $1 ->> 'body' AS body, a.times, a.raised_at, a.cleared_at";

#[derive(QueryableByName)]
pub(super) struct NoticeRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SqlText)]
    kind: String,
    #[diesel(sql_type = SqlText)]
    cause: String,
    #[diesel(sql_type = SqlText)]
    stage: String,
    #[diesel(sql_type = SqlText)]
    severity: String,
    #[diesel(sql_type = SqlText)]
    title: String,
    #[diesel(sql_type = SqlText)]
    body: String,
    #[diesel(sql_type = BigInt)]
    times: i64,
    #[diesel(sql_type = Timestamptz)]
    raised_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    cleared_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Bool)]
    alone: bool,
}

impl From<NoticeRow> for Notice {
    fn from(row: NoticeRow) -> Self {
        let stage = match (row.severity.as_str(), row.stage.as_str()) {
            ("info", _) => Stage::Told,
            (_, "escalated") => Stage::Escalated,
            (_, "cleared") => Stage::Cleared,
            _ => Stage::Raised,
        };
        Self {
            id: row.id,
            kind: row.kind,
            cause: row.cause,
            stage,
            is_critical: row.severity == "critical",
            is_alone: row.alone,
            text: Text { title: row.title, body: row.body },
            times: row.times,
            raised_at: row.raised_at,
            cleared_at: row.cleared_at,
        }
    }
}

/// Whether there is a notice nobody has addressed yet: what is asked twice a second needs no transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn is_any_unaddressed(conn: &mut pg::Connection) -> Result<bool, pg::Error> {
    let found =
        sql_query("SELECT FROM alert_notices WHERE addressed_at IS NULL LIMIT 1").execute(conn).await?;
    Ok(found == 1)
}

/// Takes up notices nobody has addressed yet, oldest first; they are the caller's until its transaction ends.
///
/// # Errors
/// The database's.
pub(crate) async fn unaddressed(
    conn: &mut pg::Connection,
    language: Language,
) -> Result<Vec<Notice>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {NOTICE}, false AS alone FROM alert_notices n JOIN alerts a ON a.id = n.alert_id \
         WHERE n.addressed_at IS NULL ORDER BY n.id LIMIT $2 FOR UPDATE OF n SKIP LOCKED"
    ))
    .bind::<SqlText, _>(language.as_str())
    .bind::<BigInt, _>(BATCH);
    let rows: Vec<NoticeRow> = found.load(conn).await?;
    Ok(rows.into_iter().map(Notice::from).collect())
}

/// Puts notices on their way to these chats.
///
/// # Errors
/// The database's.
pub(crate) async fn address(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    notices: &[Notice],
    chats: &[i64],
) -> Result<(), pg::Error> {
    let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
    sql_query(
        "WITH chats AS ( \
             INSERT INTO alert_chats (chat_id) SELECT unnest($2) ON CONFLICT (chat_id) DO NOTHING), \
         addressed AS (UPDATE alert_notices SET addressed_at = $3 WHERE id = ANY($1)) \
         INSERT INTO alert_deliveries (chat_id, notice_id, not_before) \
         SELECT c, n, $3 FROM unnest($1) AS n CROSS JOIN unnest($2) AS c",
    )
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Array<BigInt>, _>(chats)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}
