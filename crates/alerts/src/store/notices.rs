//! Reads notices and creates their deliveries.

use diesel::dsl;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text as SqlText, Timestamptz};
use diesel_async::RunQueryDsl;
use domain::Language;
use time::OffsetDateTime;

use super::schema::{alert_deliveries, alert_notices, alerts};
use crate::model::{Notice, Stage, Text};

/// Maximum number of notices processed in one transaction.
const BATCH: i64 = 100;

/// The columns of a [`Notice`]: `n` is `alert_notices`, `a` is `alerts`, `$1` is the language.
pub(super) const NOTICE: &str = "n.id, a.kind, a.cause, n.stage, n.severity, a.texts -> $1 ->> 'title' AS title, \
     a.texts -> $1 ->> 'body' AS body, a.times, a.raised_at, a.cleared_at";

#[derive(QueryableByName)]
pub(super) struct NoticeRow {
    #[diesel(embed)]
    notice: NoticePart,
    #[diesel(embed)]
    alert: AlertPart,
    #[diesel(embed)]
    delivery: DeliveryPart,
    #[diesel(sql_type = Nullable<SqlText>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<SqlText>)]
    body: Option<String>,
}

#[derive(QueryableByName)]
#[diesel(table_name = alert_notices, check_for_backend(Pg))]
struct NoticePart {
    id: i64,
    stage: String,
    severity: String,
}

#[derive(QueryableByName)]
#[diesel(table_name = alerts, check_for_backend(Pg))]
struct AlertPart {
    kind: String,
    cause: String,
    times: i64,
    raised_at: OffsetDateTime,
    cleared_at: Option<OffsetDateTime>,
}

#[derive(QueryableByName)]
#[diesel(table_name = alert_deliveries, check_for_backend(Pg))]
struct DeliveryPart {
    alone: bool,
}

impl TryFrom<NoticeRow> for Notice {
    type Error = pg::Error;

    fn try_from(row: NoticeRow) -> Result<Self, pg::Error> {
        let NoticePart { id, stage, severity } = row.notice;
        let corrupt = |column| pg::Error::corrupt("alert_notices", id, column);
        let is_critical = match severity.as_str() {
            "critical" => true,
            "warning" | "info" => false,
            _unknown => return Err(corrupt("severity")),
        };
        let stage = match stage.as_str() {
            "raised" if severity == "info" => Stage::Summary,
            "raised" => Stage::Raised,
            "escalated" => Stage::Escalated,
            "cleared" => Stage::Cleared,
            _unknown => return Err(corrupt("stage")),
        };
        let (Some(title), Some(body)) = (row.title, row.body) else { return Err(corrupt("texts")) };
        Ok(Self {
            id,
            kind: row.alert.kind,
            cause: row.alert.cause,
            stage,
            is_critical,
            is_alone: row.delivery.alone,
            text: Text { title, body },
            times: row.alert.times,
            raised_at: row.alert.raised_at,
            cleared_at: row.alert.cleared_at,
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
        let id = row.notice.id;
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
    let unaddressed = alert_notices::table.filter(alert_notices::addressed_at.is_null());
    Ok(diesel::select(dsl::exists(unaddressed)).get_result(conn).await?)
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
