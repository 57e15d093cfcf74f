use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::UuidV7Source;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tasks::schedules::{self, NewSchedule, Schedule};
use tasks::{Filter, Outcome, Payload, Scheduler, Status, Task, TaskContext, TaskError, TaskRecord, Timing};
use testkit::{Database, eventually};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Answer, Gated, GatedTask, LONG, database, new_task, quick, start};

const NOON: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

/// A clock that always shows noon.
async fn database_at_noon() -> Database {
    let database = database().await;
    database.stop_clock(NOON).await;
    database
}

fn schedulers(pool: &pg::Pool, number: usize) -> CancellationToken {
    let stop = CancellationToken::new();
    for _ in 0..number {
        let scheduler = Scheduler::new(pool.clone(), Arc::new(UuidV7Source), Vec::new());
        tokio::spawn(scheduler.run(stop.clone()));
    }
    stop
}

fn minutely(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.to_owned(),
        payload: Payload::of(&GatedTask { kolejka: "żółw".to_owned() }),
        queue: format!("q-{name}"),
        max_attempts: 1,
        user_id: None,
        timing: Timing::every(Duration::from_mins(1)),
        first_run_at: Some(NOON),
    }
}

/// A task of another kind.
#[derive(Serialize, Deserialize)]
struct Other {}

impl Task for Other {
    const KIND: &'static str = "other";
    type State = Gated;

    async fn run(self, _context: TaskContext<'_, Gated>) -> Answer {
        Ok(Outcome::Success(json!(null)))
    }
}

async fn all_tasks(pool: &pg::Pool) -> Vec<TaskRecord> {
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
async fn any_number_of_schedulers_start_each_run_once() {
    let database = database_at_noon().await;
    let pool = database.pool();
    for number in 0..40 {
        schedules::put(&mut pool.get().await.unwrap(), NOON, &minutely(&format!("{number:02}")))
            .await
            .unwrap();
    }
    let stop = schedulers(&pool, 4);
    passed(&pool, NOON).await;
    assert_eq!(all_tasks(&pool).await.len(), 40);

    // An hour passes without a scheduler: the missed runs become one run, which waits for the previous one.
    database.set_clock(NOON + Duration::from_hours(1)).await;
    let handler = Gated::new(|number| match number {
        1 => Err(TaskError::Fail("disk full".to_owned())),
        _ => Ok(Outcome::Success(json!(null))),
    });
    handler.gate.add_permits(40);
    let worker = start(&pool, &handler, quick(LONG));
    passed(&pool, NOON + Duration::from_hours(1)).await;
    worker.cancel();
    let tasks = all_tasks(&pool).await;
    assert_eq!(tasks.len(), 80);
    assert_eq!(tasks.iter().filter(|task| task.status.is_final()).count(), 40);
    assert!(tasks.iter().all(|task| task.payload == json!({ "kolejka": "żółw" })));
    let schedules = all_schedules(&pool).await;
    let failed: Vec<_> = schedules.iter().filter(|it| it.last_error.is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].last_error.as_deref(), Some("disk full"));
    assert_eq!(schedules.iter().filter(|it| it.last_success_at.is_some()).count(), 39);
    // The phase is unchanged.
    assert!(schedules.iter().all(|it| it.next_run_at == NOON + Duration::from_mins(61)));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_changed_disabled_and_removed() {
    let database = database_at_noon().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let morning = Timing::cron("30 8 * * *", "Europe/Warsaw").unwrap();
    let report = NewSchedule { timing: morning, first_run_at: None, ..minutely("report") };
    schedules::put(&mut conn, NOON, &report).await.unwrap();
    schedules::put(&mut conn, NOON, &minutely("sweep")).await.unwrap();
    let stop = schedulers(&pool, 1);
    eventually("the sweep", async || (all_tasks(&pool).await.len() == 1).then_some(())).await;
    let [report_row, sweep] = &all_schedules(&pool).await[..] else { panic!("two schedules") };
    assert_eq!(report_row.next_run_at, datetime!(2026-01-02 07:30 UTC));
    assert_eq!((sweep.last_run_at, sweep.next_run_at), (Some(NOON), NOON + Duration::from_mins(1)));

    // Stored again unchanged, it keeps its next run. With a changed timing, it gets a new one.
    schedules::put(&mut conn, NOON, &NewSchedule { max_attempts: 9, ..minutely("sweep") }).await.unwrap();
    assert_eq!(all_schedules(&pool).await[1].next_run_at, NOON + Duration::from_mins(1));
    let hourly = NewSchedule { timing: Timing::every(Duration::from_hours(1)), ..minutely("sweep") };
    let later = NewSchedule { first_run_at: Some(NOON + Duration::from_hours(1)), ..hourly };
    schedules::put(&mut conn, NOON, &later).await.unwrap();
    assert_eq!(all_schedules(&pool).await[1].next_run_at, NOON + Duration::from_hours(1));

    // Triggered, but it remains disabled.
    schedules::set_enabled(&mut conn, "report", false).await.unwrap().unwrap();
    let off = schedules::run_now(&mut conn, "report").await.unwrap().unwrap();
    assert_eq!(off.next_run_at, report_row.next_run_at);
    tasks::cancel(&mut conn, all_tasks(&pool).await[0].id, "test").await.unwrap().unwrap();
    assert_eq!(all_schedules(&pool).await[1].last_error.as_deref(), Some("cancelled by test"));
    schedules::run_now(&mut conn, "sweep").await.unwrap().unwrap();
    eventually("the sweep out of turn", async || (all_tasks(&pool).await.len() == 2).then_some(())).await;
    assert!(all_tasks(&pool).await.iter().all(|task| task.kind == "gated" && task.queue == "q-sweep"));

    assert!(schedules::remove(&mut conn, "sweep").await.unwrap());
    assert!(!schedules::remove(&mut conn, "sweep").await.unwrap());
    assert!(schedules::set_enabled(&mut conn, "sweep", true).await.unwrap().is_none());
    schedules::set_enabled(&mut conn, "report", true).await.unwrap().unwrap();
    schedules::run_now(&mut conn, "report").await.unwrap().unwrap();
    eventually("the report, once", async || (all_tasks(&pool).await.len() == 3).then_some(())).await;
    assert!(
        all_tasks(&pool).await.iter().any(|task| task.status == Status::Queued && task.queue == "q-report")
    );
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_local_clock_changes_no_start_time() {
    let database = database_at_noon().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    // A process whose clock is a day ahead requests a run in a minute, and one whose clock is behind requests one now.
    let (ahead, behind) = (NOON + Duration::from_hours(24), NOON - Duration::from_hours(24));
    let soon = NewSchedule { first_run_at: Some(ahead + Duration::from_mins(1)), ..minutely("ahead") };
    schedules::put(&mut conn, ahead, &soon).await.unwrap();
    let nightly = NewSchedule {
        timing: Timing::cron("0 0 * * *", "UTC").unwrap(),
        first_run_at: None,
        ..minutely("nightly")
    };
    schedules::put(&mut conn, ahead, &nightly).await.unwrap();
    let id = tasks::enqueue(&mut conn, Uuid::now_v7().into(), behind, &new_task("q")).await.unwrap();
    let task = tasks::find(&mut conn, id).await.unwrap().unwrap();
    assert_eq!((task.run_at, task.created_at), (NOON, NOON));
    let [soon, nightly] = &all_schedules(&pool).await[..] else { panic!("two schedules") };
    assert_eq!(soon.next_run_at, NOON + Duration::from_mins(1));
    assert_eq!(nightly.next_run_at, datetime!(2026-01-02 00:00 UTC));

    database.set_clock(NOON + Duration::from_mins(1)).await;
    let stop = schedulers(&pool, 2);
    passed(&pool, NOON + Duration::from_mins(1)).await;
    let asked: Vec<String> = all_tasks(&pool).await.into_iter().map(|it| it.queue).collect();
    assert_eq!(asked, ["q-ahead", "q"]);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_interval_applies_to_existing_schedules() {
    let database = database_at_noon().await;
    let pool = database.pool();
    let mut conn = pool.get().await.unwrap();
    let first = NOON + Duration::from_hours(6);
    let daily = |name: &str| NewSchedule {
        timing: Timing::every(Duration::from_hours(24)),
        first_run_at: Some(first),
        ..minutely(name)
    };
    for number in 0..20 {
        schedules::put(&mut conn, NOON, &daily(&format!("{number:02}"))).await.unwrap();
    }
    schedules::put(&mut conn, NOON, &NewSchedule { payload: Payload::of(&Other {}), ..daily("other") })
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let interval = Duration::from_mins(10);
    let scheduler = Scheduler::new(pool.clone(), Arc::new(UuidV7Source), Vec::new()).every("gated", interval);
    tokio::spawn(scheduler.run(stop.clone()));
    let changed = eventually("the new interval", async || {
        let all = all_schedules(&pool).await;
        (all.iter().filter(|it| it.every_seconds == Some(600.0)).count() == 20).then_some(all)
    })
    .await;
    let (other, ours): (Vec<_>, Vec<_>) = changed.iter().partition(|it| it.kind == "other");
    assert_eq!((other[0].every_seconds, other[0].next_run_at), (Some(86_400.0), first));
    assert!(ours.iter().all(|it| it.next_run_at >= NOON && it.next_run_at <= NOON + interval));
    let moments: BTreeSet<_> = ours.iter().map(|it| it.next_run_at).collect();
    assert!(moments.len() > 15, "they are spread");
    stop.cancel();
}
