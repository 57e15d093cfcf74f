//! Raises an alert for each stored row that this process could not read.

use std::time::Duration;

use domain::{Chain, Language, panic_as_error};
use pg::CorruptRow;
use tokio_util::sync::CancellationToken;

use crate::model::{Alert, Severity, Text};
use crate::store::causes;

/// Interval between checks for corrupt rows.
const POLL: Duration = Duration::from_secs(1);
/// Interval between checks for alerts to clear.
const CLEAR_PERIOD: Duration = Duration::from_hours(1);
/// An alert is cleared when its row was not read as corrupt for this long.
const CLEAR_AFTER: Duration = Duration::from_hours(24);
const KIND: &str = "corrupt_row";

impl Alert for CorruptRow {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn cause(&self) -> String {
        format!("{KIND}/{}/{}/{}", self.table, self.id, self.column)
    }

    fn severity(&self) -> Severity {
        Severity::Critical
    }

    fn text(&self, language: Language) -> Text {
        let (title, body) = match language {
            Language::Ru => (
                format!("Не читается строка базы данных: {self}"),
                "Обработка этой строки остановлена. Исправьте значение; что ждёт в очереди dead, отправьте заново.",
            ),
            Language::Pl => (
                format!("Nieczytelny wiersz w bazie danych: {self}"),
                "Przetwarzanie tego wiersza jest wstrzymane. Popraw wartość; komunikaty z kolejki dead wyślij ponownie.",
            ),
            Language::En => (
                format!("Unreadable database row: {self}"),
                "Work on this row has stopped. Repair the value and requeue dead-lettered messages.",
            ),
        };
        Text { title, body: body.to_owned() }
    }
}

/// Raises a critical alert for each corrupt row that this process reads, until `stop`. Every process of a service runs
/// it, in every role. It uses a connection only when there is an alert to raise.
pub async fn report_corrupt_rows(pool: pg::Pool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rows = pg::take_corrupt_rows();
        if let Err(error) = panic_as_error(raise(&pool, &rows)).await {
            tracing::warn!(error = %Chain(&error), rows = rows.len(), "corrupt rows not reported; will retry");
            pg::restore_corrupt_rows(rows);
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
    }
}

/// Clears the alerts of rows that no process has read as corrupt for a day: now and then every hour, until `stop`.
/// Processes with the role `worker` run it.
pub async fn clear_corrupt_rows(pool: pg::Pool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match panic_as_error(clear(&pool)).await {
            Ok(()) => CLEAR_PERIOD,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "alerts of corrupt rows not cleared; will retry");
                POLL
            }
        };
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

async fn raise(pool: &pg::Pool, rows: &[CorruptRow]) -> Result<(), pg::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    pool.transaction(async |conn| {
        let now = pg::now(conn).await?;
        for row in rows {
            causes::raise(conn, now, row).await?;
        }
        Ok(())
    })
    .await
}

async fn clear(pool: &pg::Pool) -> Result<(), pg::Error> {
    pool.transaction(async |conn| {
        let now = pg::now(conn).await?;
        for cause in causes::raised_before(conn, KIND, now - CLEAR_AFTER).await? {
            causes::clear(conn, now, &cause).await?;
        }
        Ok(())
    })
    .await
}
