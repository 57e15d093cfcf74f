//! Raises and clears alerts, in the caller's transaction.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Jsonb, Text as SqlText, Timestamptz};
use diesel_async::RunQueryDsl;
use domain::Language;
use serde_json::Value;
use time::OffsetDateTime;

use super::schema::alerts;
use crate::model::{Alert, Text};

/// Raises an alert `now`, in the caller's transaction. True when a notice will be sent.
///
/// While an alert of this cause is open, raising it again only increases its count and updates its texts. One
/// exception: a warning that becomes critical is sent once more. Of two concurrent calls one waits for the other and
/// returns false.
///
/// # Errors
/// The database's error. The transaction is then lost as a whole.
pub async fn raise(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    alert: &(impl Alert + Sync),
) -> Result<bool, pg::Error> {
    // The unique index makes the second of two concurrent calls wait for the first one and then increase the count.
    // `first_severity` is stored in the row itself, because the waiting call does not see the other's notice.
    let told = sql_query(
        "WITH raised AS ( \
             INSERT INTO alerts (cause, kind, severity, first_severity, texts, raised_at, last_raised_at) \
             VALUES ($1, $2, $3, $3, $4, $5, $5) \
             ON CONFLICT (cause) WHERE cleared_at IS NULL DO UPDATE SET times = alerts.times + 1, \
                 severity = CASE WHEN alerts.severity = 'critical' THEN 'critical' ELSE excluded.severity END, \
                 texts = excluded.texts, last_raised_at = greatest(alerts.last_raised_at, excluded.last_raised_at) \
             RETURNING id, times, severity, first_severity) \
         INSERT INTO alert_notices (alert_id, stage, severity, created_at) \
         SELECT id, CASE WHEN times = 1 THEN 'raised' ELSE 'escalated' END, severity, $5 FROM raised \
         WHERE times = 1 OR (severity = 'critical' AND first_severity = 'warning') \
         ON CONFLICT (alert_id, stage) DO NOTHING",
    )
    .bind::<SqlText, _>(alert.cause())
    .bind::<SqlText, _>(alert.kind())
    .bind::<SqlText, _>(alert.severity().as_str())
    .bind::<Jsonb, _>(in_every_language(|language| alert.text(language))?)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(told == 1)
}

/// Clears the alert of a cause `now`, in the caller's transaction. False when none was open. Everyone who got the alert
/// gets a notice of its end.
///
/// # Errors
/// The database's error. The transaction is then lost as a whole.
pub async fn clear(conn: &mut pg::Connection, now: OffsetDateTime, cause: &str) -> Result<bool, pg::Error> {
    Ok(clear_all(conn, now, &[cause]).await? == 1)
}

/// As [`clear`], for many causes. Returns how many alerts were open.
///
/// # Errors
/// As [`clear`].
pub async fn clear_all(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    causes: &[&str],
) -> Result<usize, pg::Error> {
    let cleared = sql_query(
        "WITH cleared AS ( \
             UPDATE alerts SET cleared_at = $2 \
             WHERE cause = ANY ($1) AND cleared_at IS NULL AND severity <> 'info' RETURNING id, severity) \
         INSERT INTO alert_notices (alert_id, stage, severity, created_at) \
         SELECT id, 'cleared', severity, $2 FROM cleared",
    )
    .bind::<Array<SqlText>, _>(causes)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(cleared)
}

/// The causes of open alerts of a kind that were last raised before a given time.
///
/// # Errors
/// The database's error.
pub(crate) async fn raised_before(
    conn: &mut pg::Connection,
    kind: &str,
    moment: OffsetDateTime,
) -> Result<Vec<String>, pg::Error> {
    let open = alerts::table.filter(alerts::kind.eq(kind)).filter(alerts::cleared_at.is_null());
    Ok(open.filter(alerts::last_raised_at.lt(moment)).select(alerts::cause).load(conn).await?)
}

/// Whether an alert of this cause is open.
///
/// # Errors
/// The database's error.
pub async fn is_open(conn: &mut pg::Connection, cause: &str) -> Result<bool, pg::Error> {
    let open = alerts::table.filter(alerts::cause.eq(cause)).filter(alerts::cleared_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(open)).get_result(conn).await?)
}

/// Creates a notice that is not an alert, once for this cause. False when it exists.
///
/// # Errors
/// The database's error.
pub(crate) async fn insert_once(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    (kind, cause): (&str, &str),
    text: impl Fn(Language) -> Text,
) -> Result<bool, pg::Error> {
    let told = sql_query(
        "WITH told AS ( \
             INSERT INTO alerts (cause, kind, severity, first_severity, texts, raised_at, last_raised_at) \
             VALUES ($1, $2, 'info', 'info', $3, $4, $4) \
             ON CONFLICT (cause) WHERE cleared_at IS NULL DO NOTHING RETURNING id) \
         INSERT INTO alert_notices (alert_id, stage, severity, created_at) \
         SELECT id, 'raised', 'info', $4 FROM told",
    )
    .bind::<SqlText, _>(cause)
    .bind::<SqlText, _>(kind)
    .bind::<Jsonb, _>(in_every_language(text)?)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(told == 1)
}

/// Text in Postgres cannot contain U+0000. One in a name must not fail the transaction.
fn in_every_language(text: impl Fn(Language) -> Text) -> Result<Value, pg::Error> {
    let texts: BTreeMap<&str, Text> = Language::ALL
        .into_iter()
        .map(|language| {
            let Text { title, body } = text(language);
            (language.as_str(), Text { title: title.replace('\0', ""), body: body.replace('\0', "") })
        })
        .collect();
    serde_json::to_value(texts).map_err(pg::Error::unwritable)
}
