//! Reads notices and creates their deliveries.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text as SqlText, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::Language;
use time::OffsetDateTime;

use crate::model::{Notice, Stage, Text};

/// Maximum number of notices processed in one transaction.
const BATCH: i64 = 100;

/// The columns of a [`Notice`]: `n` is `alert_notices`, `a` is `alerts`, `$1` is the language.
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
    #[diesel(sql_type = Nullable<SqlText>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<SqlText>)]
    body: Option<String>,
    #[diesel(sql_type = BigInt)]
    times: i64,
    #[diesel(sql_type = Timestamptz)]
    raised_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    cleared_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Bool)]
    alone: bool,
}

impl TryFrom<NoticeRow> for Notice {
    type Error = pg::Error;

    fn try_from(row: NoticeRow) -> Result<Self, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("alert_notices", row.id, column);
        let is_critical = match row.severity.as_str() {
            "critical" => true,
            "warning" | "info" => false,
            _unknown => return Err(corrupt("severity")),
        };
        let stage = match row.stage.as_str() {
            "raised" if row.severity == "info" => Stage::Summary,
            "raised" => Stage::Raised,
            "escalated" => Stage::Escalated,
            "cleared" => Stage::Cleared,
            _unknown => return Err(corrupt("stage")),
        };
        let (Some(title), Some(body)) = (row.title, row.body) else { return Err(corrupt("texts")) };
        Ok(Self {
            id: row.id,
            kind: row.kind,
            cause: row.cause,
            stage,
            is_critical,
            is_alone: row.alone,
            text: Text { title, body },
            times: row.times,
            raised_at: row.raised_at,
            cleared_at: row.cleared_at,
        })
    }
}

/// Reads rows. An unreadable notice is not sent, so that it blocks no other.
///
/// # Errors
/// The database's error.
pub(super) async fn read(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    rows: Vec<NoticeRow>,
) -> Result<Vec<Notice>, pg::Error> {
    let mut notices = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.id;
        match Notice::try_from(row) {
            Ok(notice) => notices.push(notice),
            Err(error) => reject(conn, now, id, &error.to_string()).await?,
        }
    }
    Ok(notices)
}

async fn reject(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    id: i64,
    reason: &str,
) -> Result<(), pg::Error> {
    sql_query(
        "WITH addressed AS ( \
             UPDATE alert_notices SET addressed_at = $2 WHERE id = $1 AND addressed_at IS NULL) \
         UPDATE alert_deliveries SET status = 'failed', error = $3, ended_at = $2 \
         WHERE notice_id = $1 AND status IN ('pending', 'sending')",
    )
    .bind::<BigInt, _>(id)
    .bind::<Timestamptz, _>(now)
    .bind::<SqlText, _>(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a notice has no deliveries yet. This frequent query needs no transaction.
///
/// # Errors
/// The database's error.
pub(crate) async fn is_any_unaddressed(conn: &mut pg::Connection) -> Result<bool, pg::Error> {
    let found =
        sql_query("SELECT FROM alert_notices WHERE addressed_at IS NULL LIMIT 1").execute(conn).await?;
    Ok(found == 1)
}

/// Locks notices without deliveries, oldest first, until the caller's transaction ends.
///
/// # Errors
/// The database's error.
pub(crate) async fn unaddressed(
    conn: &mut pg::Connection,
    language: Language,
    now: OffsetDateTime,
) -> Result<Vec<Notice>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {NOTICE}, false AS alone FROM alert_notices n JOIN alerts a ON a.id = n.alert_id \
         WHERE n.addressed_at IS NULL ORDER BY n.id LIMIT $2 FOR UPDATE OF n SKIP LOCKED"
    ))
    .bind::<SqlText, _>(language.as_str())
    .bind::<BigInt, _>(BATCH);
    let rows: Vec<NoticeRow> = found.load(conn).await?;
    read(conn, now, rows).await
}

/// Creates the deliveries of notices to these chats.
///
/// # Errors
/// The database's error.
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
