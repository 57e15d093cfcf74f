//! A daily summary.

use domain::{Language, TimeZone};
use time::{Date, OffsetDateTime, Time};

use crate::model::Text;
use crate::store::causes;

/// A summary that is sent once a day, however many processes try to.
#[derive(Debug, Clone)]
pub struct Daily {
    /// Name of the summary: `stock_sync`.
    pub key: &'static str,
    /// The time of day at which it is sent.
    pub at: Time,
    /// The time zone of `at`.
    pub zone: TimeZone,
}

impl Daily {
    /// The day whose summary is due `now`: its time has come, and no process has sent it. A process that was down at
    /// that time sends it later on the same day.
    ///
    /// # Errors
    /// The database's error.
    pub async fn due(
        &self,
        conn: &mut pg::Connection,
        now: OffsetDateTime,
    ) -> Result<Option<Date>, pg::Error> {
        let local = self.zone.local(now);
        if local.time() < self.at || causes::is_open(conn, &self.cause(local.date())).await? {
            return Ok(None);
        }
        Ok(Some(local.date()))
    }

    /// Creates the notice of a day's summary, in the caller's transaction. False when another process was faster.
    ///
    /// # Errors
    /// The database's error. The transaction is then lost as a whole.
    pub async fn announce(
        &self,
        conn: &mut pg::Connection,
        now: OffsetDateTime,
        day: Date,
        text: impl Fn(Language) -> Text,
    ) -> Result<bool, pg::Error> {
        causes::insert_once(conn, now, (self.key, &self.cause(day)), text).await
    }

    fn cause(&self, day: Date) -> String {
        format!("daily/{}/{day}", self.key)
    }
}
