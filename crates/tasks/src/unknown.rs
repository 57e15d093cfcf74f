//! Watches for tasks of kinds that no worker runs: those of a newer version that is not deployed, or of one that was removed.

use std::fmt::Write;
use std::time::{Duration, Instant};

use alerts::{Alert, Severity, Text as Words};
use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Interval, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{Chain, Language, panic_as_error};

use crate::interval;
use crate::schema::task_history;

/// A due task that no worker claims for this time raises the alert.
const ALERT_AFTER: Duration = Duration::from_mins(10);
/// Interval between checks in this process.
const PERIOD: Duration = Duration::from_mins(1);
/// The alert's kind and cause. A service has at most one open alert for all unknown kinds.
const ALERT: &str = "task_kind_unknown";

/// Runs the check at its interval.
#[derive(Default)]
pub(crate) struct Watch {
    checked: Option<Instant>,
}

impl Watch {
    /// Raises the alert, or clears it when no task of an unknown kind waits. `known` are the kinds of this process.
    pub(crate) async fn check(&mut self, pool: &pg::Pool, known: &[&'static str]) {
        if self.checked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.checked = Some(Instant::now());
        let checked = pool.transaction(async |conn| {
            let waiting = waiting(conn, known).await?;
            let now = pg::now(conn).await?;
            if waiting.is_empty() {
                alerts::clear(conn, now, ALERT).await?;
            } else {
                alerts::raise(conn, now, &UnknownKinds(&waiting)).await?;
            }
            Ok::<_, pg::Error>(waiting)
        });
        match panic_as_error(checked).await {
            Ok(waiting) => {
                let tasks = waiting.iter().map(|it| u32::try_from(it.tasks).unwrap_or(u32::MAX));
                metrics::gauge!("tasks_unknown_kind").set(tasks.fold(0, u32::saturating_add));
                for Waiting { kind, tasks } in waiting {
                    tracing::warn!(kind, tasks, "due tasks of a kind that no worker runs");
                }
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "check for unknown kinds of tasks failed"),
        }
    }
}

/// Due tasks of one kind.
#[derive(Debug, QueryableByName)]
#[diesel(table_name = task_history, check_for_backend(Pg))]
struct Waiting {
    kind: String,
    #[diesel(sql_type = BigInt)]
    tasks: i64,
}

/// Tasks of kinds other than `known` that have been due for [`ALERT_AFTER`], by kind. If a worker started a task of a kind
/// within that time, the kind is known to that worker: during a rolling restart it may only be busy.
async fn waiting(conn: &mut pg::Connection, known: &[&'static str]) -> Result<Vec<Waiting>, pg::Error> {
    let waiting = sql_query(
        "SELECT t.kind, count(*) AS tasks FROM task_history t \
         WHERE t.status IN ('queued', 'retrying') AND t.run_at < now() - $2 AND t.kind <> ALL($1) \
             AND NOT EXISTS (SELECT 1 FROM task_history r \
                 WHERE r.kind = t.kind AND (r.status = 'running' OR r.started_at > now() - $2)) \
         GROUP BY t.kind ORDER BY t.kind",
    );
    let waiting = waiting.bind::<Array<Text>, _>(known).bind::<Interval, _>(interval(ALERT_AFTER));
    Ok(waiting.load(conn).await?)
}

/// Due tasks of kinds that no worker runs.
struct UnknownKinds<'a>(&'a [Waiting]);

impl Alert for UnknownKinds<'_> {
    fn kind(&self) -> &'static str {
        ALERT
    }

    fn cause(&self) -> String {
        ALERT.to_owned()
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn text(&self, language: Language) -> Words {
        let (title, intro, advice) = match language {
            Language::En => (
                "Tasks of an unknown kind are waiting",
                "No worker has run these tasks for 10 minutes:",
                "Start workers of the version that enqueued them, or cancel the tasks.",
            ),
            Language::Ru => (
                "Ждут задачи неизвестного вида",
                "Уже 10 минут ни один процесс не выполняет эти задачи:",
                "Запустите процессы той версии, которая их поставила, или отмените эти задачи.",
            ),
            Language::Pl => (
                "Czekają zadania nieznanego rodzaju",
                "Od 10 minut żaden proces nie wykonuje tych zadań:",
                "Uruchom procesy w wersji, która je zleciła, albo anuluj te zadania.",
            ),
        };
        let mut body = intro.to_owned();
        for Waiting { kind, tasks } in self.0 {
            // Writing to a String cannot fail.
            let _written = write!(body, " {kind} ({tasks})");
        }
        Words { title: title.to_owned(), body: format!("{body}. {advice}") }
    }
}
