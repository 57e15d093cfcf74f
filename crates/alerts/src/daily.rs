//! A word once a day.

use domain::{Language, TimeZone};
use time::{Date, OffsetDateTime, Time};

use crate::model::Text;
use crate::store::causes;

/// A summary that is told once a day, whatever the number of processes that try to.
#[derive(Debug, Clone)]
pub struct Daily {
    /// Which summary it is: `stock_sync`.
    pub key: &'static str,
    /// The time of day it is told at.
    pub at: Time,
    /// By the clock of this zone.
    pub zone: TimeZone,
}

impl Daily {
    /// The day whose summary is to be told `now`: its time has come and nobody has told it. A process that was down
    /// at that time tells it later the same day.
    ///
    /// # Errors
    /// The database's.
    pub async fn due(
        &self,
        conn: &mut pg::Connection,
        now: OffsetDateTime,
    ) -> Result<Option<Date>, pg::Error> {
        let local = self.zone.local(now);
        if local.time() < self.at || causes::exists(conn, &self.cause(local.date())).await? {
            return Ok(None);
        }
        Ok(Some(local.date()))
    }

    /// Tells a day's summary, in the caller's transaction; false when somebody was faster.
    ///
    /// # Errors
    /// The database's; the transaction is then lost as a whole.
    pub async fn tell(
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
