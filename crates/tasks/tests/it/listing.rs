//! Lists are fast with any number of tasks.

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use tasks::{Filter, Status};
use uuid::Uuid;

use crate::support::database;

/// Enough that reading all of them is noticeable.
const TASKS: i64 = 100_000;
/// Number of tasks inserted by one statement.
const STEP: usize = 10_000;
/// Maximum number of rows read for a page of fifty, far less than all.
const MOST: i64 = 2000;

#[derive(QueryableByName)]
struct Read {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// Rows of the table that this session has read. Within a transaction the counter is complete.
async fn read(conn: &mut pg::Connection) -> i64 {
    let counted: Read = sql_query(
        "SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables WHERE relname = 'task_history'",
    )
    .get_result(conn)
    .await
    .unwrap();
    counted.rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_little_whatever_the_filter() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    // One in a thousand waits, fails, is cancelled or has a rare kind. A hundred users, with a queue each.
    let fill = "INSERT INTO task_history (id, kind, queue, payload, status, max_attempts, run_at, user_id, created_at, updated_at) \
         SELECT gen_random_uuid(), CASE n % 1000 WHEN 1 THEN 'rare' ELSE 'common' END, 'queue-' || n % 100, '{}', \
             CASE n % 1000 WHEN 2 THEN 'queued' WHEN 3 THEN 'failed' WHEN 4 THEN 'cancelled' WHEN 5 THEN 'retrying' \
                 ELSE 'succeeded' END, \
             1, now(), 'user-' || n % 100, now() - n * interval '1 second', now() FROM generate_series($1, $2) n";
    // In steps that even a slow machine ends within the limit of a statement.
    for first in (1..TASKS).step_by(STEP) {
        let last = first - 1 + i64::try_from(STEP).unwrap();
        let step = sql_query(fill).bind::<BigInt, _>(first).bind::<BigInt, _>(last);
        step.execute(&mut *conn).await.unwrap();
    }
    sql_query("ANALYZE task_history").execute(&mut *conn).await.unwrap();
    let of = |statuses: &[Status]| Filter { statuses: Some(statuses.to_vec()), ..Filter::default() };
    let filters = [
        Filter::default(),
        of(&[Status::Queued]),
        of(&[Status::Running, Status::Retrying]),
        of(&[Status::Failed]),
        of(&[Status::Cancelled]),
        of(&[Status::Succeeded]),
        Filter { kind: Some("rare".to_owned()), ..Filter::default() },
        Filter { queue: Some("queue-7".to_owned()), ..Filter::default() },
        Filter { user_id: Some("user-7".to_owned()), ..Filter::default() },
        Filter { user_id: Some("user-3".to_owned()), ..of(&[Status::Failed]) },
        Filter { kind: Some("common".to_owned()), queue: Some("queue-7".to_owned()), ..Filter::default() },
        Filter { kind: Some("nothing".to_owned()), ..Filter::default() },
    ];
    for filter in &filters {
        let mut after: Option<(time::OffsetDateTime, Uuid)> = None;
        // Twice: the first page, and the next one.
        for page in 1..=2 {
            sql_query("BEGIN").execute(&mut *conn).await.unwrap();
            let before = read(&mut conn).await;
            let listed = tasks::list(&mut conn, filter, after, 50).await.unwrap();
            let rows = read(&mut conn).await - before;
            sql_query("COMMIT").execute(&mut *conn).await.unwrap();
            assert!(rows <= MOST, "page {page} of {filter:?} read {rows} rows");
            assert!(
                listed.len() >= 50 || filter.kind.as_deref() == Some("nothing"),
                "{filter:?}: {}",
                listed.len()
            );
            assert!(
                listed.is_sorted_by(|one, other| (one.created_at, one.id) > (other.created_at, other.id))
            );
            after = listed.last().map(|it| (it.created_at, it.id.as_uuid()));
            if listed.is_empty() {
                break;
            }
        }
    }
}
