//! Rows of `schedules`.

use std::time::Duration;

use diesel::data_types::PgInterval;
use diesel::pg::Pg;
use diesel::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::schedules::Schedule;
use crate::schema::schedules;
use crate::timing::Timing;

#[derive(Queryable, Selectable, QueryableByName)]
#[diesel(table_name = schedules, check_for_backend(Pg))]
pub(crate) struct ScheduleRow {
    pub(crate) name: String,
    pub(crate) kind: String,
    queue: String,
    user_id: Option<String>,
    cron: Option<String>,
    time_zone: Option<String>,
    every: Option<PgInterval>,
    is_enabled: bool,
    pub(crate) next_run_at: OffsetDateTime,
    last_run_at: Option<OffsetDateTime>,
    last_success_at: Option<OffsetDateTime>,
    last_error: Option<String>,
    task_id: Option<Uuid>,
}

impl ScheduleRow {
    /// The next moment after the run that is due; `None` when there will be none.
    ///
    /// # Errors
    /// [`pg::Error::Corrupt`].
    pub(crate) fn next(&self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, pg::Error> {
        Ok(self.timing()?.after(self.next_run_at, now))
    }

    fn timing(&self) -> Result<Timing, pg::Error> {
        match (&self.cron, &self.time_zone, self.every()?) {
            (Some(expression), Some(time_zone), None) => {
                Timing::cron(expression, time_zone).map_err(|_invalid| self.corrupt("cron"))
            }
            (None, None, Some(every)) => Ok(Timing::every(every)),
            (Some(_), None, _) | (None, Some(_), _) => Err(self.corrupt("time_zone")),
            (Some(_), Some(_), Some(_)) | (None, None, None) => Err(self.corrupt("every")),
        }
    }

    /// The interval, where it has one. An interval with months has no fixed length and cannot be read.
    fn every(&self) -> Result<Option<Duration>, pg::Error> {
        let Some(PgInterval { microseconds, days, months }) = self.every else { return Ok(None) };
        let length = time::Duration::days(days.into()) + time::Duration::microseconds(microseconds);
        match Duration::try_from(length) {
            Ok(every) if months == 0 && !every.is_zero() => Ok(Some(every)),
            Ok(_) | Err(_) => Err(self.corrupt("every")),
        }
    }

    fn corrupt(&self, column: &'static str) -> pg::Error {
        pg::Error::corrupt("schedules", &self.name, column)
    }
}

impl TryFrom<ScheduleRow> for Schedule {
    type Error = pg::Error;

    fn try_from(row: ScheduleRow) -> Result<Self, pg::Error> {
        Ok(Self {
            every_seconds: row.every()?.map(|every| every.as_secs_f64()),
            name: row.name,
            kind: row.kind,
            queue: row.queue,
            user_id: row.user_id,
            cron: row.cron,
            time_zone: row.time_zone,
            is_enabled: row.is_enabled,
            next_run_at: row.next_run_at,
            last_run_at: row.last_run_at,
            last_success_at: row.last_success_at,
            last_error: row.last_error,
            task_id: row.task_id,
        })
    }
}
