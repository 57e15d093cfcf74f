//! Deliveries of one chat, claimed by one sender at a time.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Text as SqlText, Timestamptz};
use diesel_async::RunQueryDsl;
use domain::Language;
use time::OffsetDateTime;

use super::notices::{self, NOTICE, NoticeRow};
use super::schema::{alert_chats, alert_deliveries};
use crate::model::Notice;

/// Maximum number of notices considered for one message.
const BATCH: i64 = 50;

/// A chat that this sender has claimed.
#[derive(Debug, QueryableByName)]
#[diesel(table_name = alert_chats, check_for_backend(Pg))]
pub(crate) struct Claim {
    pub(crate) chat_id: i64,
    /// Increases with each claim. Writes with an older number are rejected.
    pub(crate) claim: i64,
    /// Number of consecutive failures.
    pub(crate) failures: i32,
    /// The last error of the chat.
    pub(crate) trouble: Option<String>,
}

/// The status of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Not sent; will be retried.
    Pending,
    /// May have arrived; will be retried.
    Sending,
    /// Arrived.
    Sent,
    /// Rejected for good.
    Failed,
}

impl Delivery {
    /// The status in the table.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// The outcome of a message.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    /// New status of the deliveries.
    pub(crate) status: Delivery,
    /// Error of the failed deliveries.
    pub(crate) error: Option<&'a str>,
    /// Earliest time of the chat's next message.
    pub(crate) next_attempt_at: OffsetDateTime,
    /// Number of consecutive failures.
    pub(crate) failures: i32,
    /// The current error of the chat.
    pub(crate) trouble: Option<&'a str>,
    /// From now on each of the deliveries is sent in its own message.
    pub(crate) apart: bool,
}

/// Delays waiting warnings of these chats until quiet hours end.
///
/// # Errors
/// The database's error.
pub(crate) async fn hold(
    conn: &mut pg::Connection,
    chats: &[i64],
    until: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE alert_deliveries d SET not_before = $2 FROM alert_notices n \
         WHERE n.id = d.notice_id AND n.severity = 'warning' AND d.chat_id = ANY($1) \
             AND d.status IN ('pending', 'sending') AND d.not_before < $2",
    )
    .bind::<Array<BigInt>, _>(chats)
    .bind::<Timestamptz, _>(until)
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims those of the chats that have waiting deliveries and may get a message `now`, until `lease`.
///
/// # Errors
/// The database's error.
pub(crate) async fn claim(
    conn: &mut pg::Connection,
    chats: &[i64],
    now: OffsetDateTime,
    lease: OffsetDateTime,
) -> Result<Vec<Claim>, pg::Error> {
    let claimed = sql_query(
        "UPDATE alert_chats SET next_attempt_at = $3, claim = claim + 1 WHERE chat_id IN ( \
             SELECT c.chat_id FROM alert_chats c WHERE c.chat_id = ANY($1) AND c.next_attempt_at <= $2 AND EXISTS ( \
                 SELECT FROM alert_deliveries d WHERE d.chat_id = c.chat_id \
                     AND d.status IN ('pending', 'sending') AND d.not_before <= $2) \
             FOR UPDATE SKIP LOCKED) \
         RETURNING chat_id, claim, failures, trouble",
    )
    .bind::<Array<BigInt>, _>(chats)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(lease);
    Ok(claimed.load(conn).await?)
}

/// Drops deliveries of a claimed chat that need not be sent any more, and returns their number: a warning that was
/// cleared before it was sent, a warning that has become critical meanwhile, and the clearing of an alert that was
/// never sent. A delivery that may have arrived counts as sent.
///
/// # Errors
/// The database's error.
pub(crate) async fn skip(
    conn: &mut pg::Connection,
    chat_id: i64,
    now: OffsetDateTime,
) -> Result<usize, pg::Error> {
    let others = "SELECT FROM alert_deliveries o JOIN alert_notices m ON m.id = o.notice_id \
                  WHERE o.chat_id = $1 AND m.alert_id = a.id";
    let skipped = sql_query(format!(
        "UPDATE alert_deliveries d SET status = 'skipped', ended_at = $2 \
         FROM alert_notices n JOIN alerts a ON a.id = n.alert_id \
         WHERE d.chat_id = $1 AND d.status = 'pending' AND n.id = d.notice_id AND ( \
             (n.stage = 'raised' AND EXISTS ({others} AND m.stage = 'escalated')) \
             OR (a.severity = 'warning' AND a.cleared_at IS NOT NULL \
                 AND NOT EXISTS ({others} AND o.status IN ('sending', 'sent'))) \
             OR (n.stage = 'cleared' \
                 AND NOT EXISTS ({others} AND m.stage <> 'cleared' AND o.status IN ('pending', 'sending', 'sent'))))"
    ))
    .bind::<BigInt, _>(chat_id)
    .bind::<Timestamptz, _>(now);
    Ok(skipped.execute(conn).await?)
}

/// The waiting deliveries of a claimed chat `now`, in order. A later notice of an alert waits for the earlier one, also
/// while that has no delivery yet.
///
/// # Errors
/// The database's error.
pub(crate) async fn due(
    conn: &mut pg::Connection,
    language: Language,
    chat_id: i64,
    now: OffsetDateTime,
) -> Result<Vec<Notice>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {NOTICE}, d.alone FROM alert_deliveries d JOIN alert_notices n ON n.id = d.notice_id \
             JOIN alerts a ON a.id = n.alert_id \
         WHERE d.chat_id = $2 AND d.status IN ('pending', 'sending') AND d.not_before <= $3 AND NOT EXISTS ( \
             SELECT FROM alert_notices e \
             WHERE e.alert_id = n.alert_id AND e.id < n.id AND e.addressed_at IS NULL) \
         ORDER BY n.id LIMIT $4"
    ))
    .bind::<SqlText, _>(language.as_str())
    .bind::<BigInt, _>(chat_id)
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(BATCH);
    let rows: Vec<NoticeRow> = found.load(conn).await?;
    notices::read(conn, now, rows).await
}

/// Records that these deliveries are about to be sent.
///
/// # Errors
/// The database's error.
pub(crate) async fn begin(conn: &mut pg::Connection, chat_id: i64, notices: &[i64]) -> Result<(), pg::Error> {
    let chosen = alert_deliveries::table
        .filter(alert_deliveries::chat_id.eq(chat_id))
        .filter(alert_deliveries::notice_id.eq_any(notices));
    let sending = alert_deliveries::status.eq(Delivery::Sending.as_str());
    diesel::update(chosen).set(sending).execute(conn).await?;
    Ok(())
}

/// Records the outcome of a message, and releases the chat. A sender whose claim has expired can only record a success.
///
/// # Errors
/// The database's error.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    claim: &Claim,
    notices: &[i64],
    now: OffsetDateTime,
    ending: &Ending<'_>,
) -> Result<(), pg::Error> {
    sql_query(
        "WITH ours AS ( \
             UPDATE alert_chats SET next_attempt_at = $4, failures = $5, trouble = $6 \
             WHERE chat_id = $1 AND claim = $3 RETURNING chat_id) \
         UPDATE alert_deliveries SET status = $7, error = $8, alone = alone OR $10, \
             ended_at = CASE WHEN $7 IN ('sent', 'failed') THEN $9 END \
         WHERE chat_id = $1 AND notice_id = ANY($2) AND status = 'sending' \
             AND ($7 = 'sent' OR EXISTS (SELECT FROM ours))",
    )
    .bind::<BigInt, _>(claim.chat_id)
    .bind::<Array<BigInt>, _>(notices)
    .bind::<BigInt, _>(claim.claim)
    .bind::<Timestamptz, _>(ending.next_attempt_at)
    .bind::<Int4, _>(ending.failures)
    .bind::<Nullable<SqlText>, _>(ending.trouble)
    .bind::<SqlText, _>(ending.status.as_str())
    .bind::<Nullable<SqlText>, _>(ending.error)
    .bind::<Timestamptz, _>(now)
    .bind::<Bool, _>(ending.apart)
    .execute(conn)
    .await?;
    Ok(())
}
