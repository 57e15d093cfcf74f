use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{Clock, UuidV7Source};
use serde_json::json;
use tasks::schedules::{self, NewSchedule, Schedule};
use tasks::{Filter, Outcome, Scheduler, Status, Task, TaskError, Timing};
use testkit::eventually;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

use crate::support::{Gated, LONG, database, quick, start};

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Hand(AtomicI64);

const NOON: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

impl Clock for Hand {
    fn now(&self) -> OffsetDateTime {
        NOON + Duration::from_secs(u64::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }
}

fn schedulers(pool: &pg::Pool, clock: &Arc<Hand>, number: usize) -> CancellationToken {
    let stop = CancellationToken::new();
    for _ in 0..number {
        let scheduler =
            Scheduler::new(pool.clone(), Arc::<Hand>::clone(clock), Arc::new(UuidV7Source), Vec::new());
        tokio::spawn(scheduler.run(stop.clone()));
    }
    stop
}

fn minutely(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        kind: "gated",
        queue: format!("q-{name}"),
        payload: json!({ "nazwa": "żółw" }),
        max_attempts: 1,
        user_id: None,
        timing: Timing::every(Duration::from_mins(1)),
        first_run_at: Some(NOON),
    }
}

async fn all_tasks(pool: &pg::Pool) -> Vec<Task> {
    tasks::list(&mut pool.get().await.unwrap(), &Filter::default(), None, 1000).await.unwrap()
}

async fn all_schedules(pool: &pg::Pool) -> Vec<Schedule> {
    schedules::list(&mut pool.get().await.unwrap(), None, None, 1000).await.unwrap()
}

async fn passed(pool: &pg::Pool, moment: OffsetDateTime) {
    eventually("all schedules moved on", async || {
        all_schedules(pool).await.iter().all(|it| it.next_run_at > moment).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_schedulers_start_each_run_once_and_none_beside_the_one_before() {
    let database = database().await;
    let pool = database.pool();
    let clock = Arc::new(Hand(AtomicI64::new(0)));
    for number in 0..40 {
        schedules::put(&mut pool.get().await.unwrap(), NOON, &minutely(&format!("{number:02}")))
            .await
            .unwrap();
    }
    let stop = schedulers(&pool, &clock, 4);
    passed(&pool, NOON).await;
    assert_eq!(all_tasks(&pool).await.len(), 40);

    // An hour goes by, nobody works: the runs of the past hour are one run, and it waits for the one before.
    clock.0.store(3_600, Ordering::SeqCst);
    let handler = Gated::new(|number| match number {
        1 => Err(TaskError::Fail("disk full".to_owned())),
        _ => Ok(Outcome::Success(json!(null))),
    });
    handler.gate.add_permits(40);
    let worker = start(&pool, &handler, quick(LONG));
    passed(&pool, clock.now()).await;
    worker.cancel();
    let tasks = all_tasks(&pool).await;
    assert_eq!(tasks.len(), 80);
    assert_eq!(tasks.iter().filter(|task| task.status.is_final()).count(), 40);
    assert!(tasks.iter().all(|task| task.payload == json!({ "nazwa": "żółw" })));
    let schedules = all_schedules(&pool).await;
    let failed: Vec<_> = schedules.iter().filter(|it| it.last_error.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].last_error.as_deref(), Some("disk full"));
    assert_eq!(schedules.iter().filter(|it| it.last_success_at.is_some()).count(), 39);
    // The phase is kept.
    assert!(schedules.iter().all(|it| it.next_run_at == NOON + Duration::from_mins(61)));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_changed_switched_and_removed() {
    let database = database().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(0)));
    let morning = Timing::cron("30 8 * * *", "Europe/Warsaw").unwrap();
    let report = NewSchedule { timing: morning, first_run_at: None, ..minutely("report") };
    schedules::put(&mut conn, NOON, &report).await.unwrap();
    schedules::put(&mut conn, NOON, &minutely("sweep")).await.unwrap();
    let stop = schedulers(&pool, &clock, 1);
    eventually("the sweep", async || (all_tasks(&pool).await.len() == 1).then_some(())).await;
    let [report_row, sweep] = &all_schedules(&pool).await[..] else { panic!("two schedules") };
    assert_eq!(report_row.next_run_at, datetime!(2026-01-02 07:30 UTC));
    assert_eq!((sweep.last_run_at, sweep.next_run_at), (Some(NOON), NOON + Duration::from_mins(1)));

    // Told again as it is, it keeps its turn; told otherwise, it gets a new one.
    schedules::put(&mut conn, NOON, &NewSchedule { max_attempts: 9, ..minutely("sweep") }).await.unwrap();
    assert_eq!(all_schedules(&pool).await[1].next_run_at, NOON + Duration::from_mins(1));
    let hourly = NewSchedule { timing: Timing::every(Duration::from_hours(1)), ..minutely("sweep") };
    let later = NewSchedule { first_run_at: Some(NOON + Duration::from_hours(1)), ..hourly };
    schedules::put(&mut conn, NOON, &later).await.unwrap();
    assert_eq!(all_schedules(&pool).await[1].next_run_at, NOON + Duration::from_hours(1));

    // Out of turn, but off it stays off.
    schedules::set_enabled(&mut conn, "report", false).await.unwrap().unwrap();
    let off = schedules::run_now(&mut conn, "report", NOON).await.unwrap().unwrap();
    assert_eq!(off.next_run_at, report_row.next_run_at);
    tasks::cancel(&mut conn, all_tasks(&pool).await[0].id, "test").await.unwrap().unwrap();
    schedules::run_now(&mut conn, "sweep", NOON).await.unwrap().unwrap();
    eventually("the sweep out of turn", async || (all_tasks(&pool).await.len() == 2).then_some(())).await;
    assert!(all_tasks(&pool).await.iter().all(|task| task.kind == "gated" && task.queue == "q-sweep"));

    assert!(schedules::remove(&mut conn, "sweep").await.unwrap());
    assert!(!schedules::remove(&mut conn, "sweep").await.unwrap());
    assert!(schedules::set_enabled(&mut conn, "sweep", true).await.unwrap().is_none());
    schedules::set_enabled(&mut conn, "report", true).await.unwrap().unwrap();
    schedules::run_now(&mut conn, "report", NOON).await.unwrap().unwrap();
    eventually("the report, once", async || (all_tasks(&pool).await.len() == 3).then_some(())).await;
    assert!(
        all_tasks(&pool).await.iter().any(|task| task.status == Status::Queued && task.queue == "q-report")
    );
    stop.cancel();
}
