//! A panic ends only the request, the message or the task in which it happens.

use domain::TokenId;
use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::topology::SUBSCRIBERS;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::commands::text;
use super::{Findings, Stage};
use crate::{Answer, eventually};

/// As many attempts as a message has: one more failure dead-letters it.
const LAST_ATTEMPT: u32 = 5;

pub(super) async fn check(stage: &mut Stage<'_>, findings: &mut Findings) {
    requests(stage, findings).await;
    background(stage, findings).await;
}

/// A handler panics while it holds a connection.
async fn requests(stage: &mut Stage<'_>, findings: &mut Findings) {
    stage.program.kill();
    // One connection, which only requests and the guard of the pool use.
    let settings = [("FAILPOINTS", "pg.after_lend=panic@1"), ("DATABASE_POOL_SIZE", "1")];
    stage.program.start_again_with(&settings, &["--role", "api"]);
    let mut panicked = 0;
    for operation in stage.operations.iter().filter(|it| it.method == "GET" && !it.has_values()) {
        let answer = get(stage, &operation.template);
        if answer.status != 500 {
            continue;
        }
        panicked += 1;
        let answered_at = OffsetDateTime::now_utc();
        let shown = operation.shown();
        let problem = answer.json();
        findings.expect(answer.is_problem() && problem["code"] == "internal", || {
            format!("{shown} panicked and answered {problem}")
        });
        findings.expect(problem["request_id"] == answer.header("x-request-id"), || {
            format!("{shown} panicked and answered without its request id")
        });
        findings.expect(!problem.to_string().contains("failpoint"), || {
            format!("{shown} shows why it panicked: {problem}")
        });
        // The guard may have opened the next one.
        until_no_session(stage, &format!("backend_start < '{answered_at}'")).await;
        let next = get(stage, &operation.template);
        findings.expect(next.status < 500, || format!("{shown} answered {} after a panic", next.status));
    }
    findings.expect(panicked == 1, || format!("{panicked} of the requests panicked, not one"));
    let metrics = stage.program.metrics();
    findings.expect(metrics.contains("\npanics_total 1\n"), || "the panic was not counted".to_owned());
}

/// A message's handler and a task panic.
async fn background(stage: &mut Stage<'_>, findings: &mut Findings) {
    stage.program.kill();
    stage.program.start_to_panic_at(&["consumer.handle", "tasks.run"]);
    if SUBSCRIBERS.iter().any(|it| it.service == stage.subject.name) {
        let dead = || text(&stage.program.command(&["dead", "list"], &[]));
        publish(stage, LAST_ATTEMPT).await;
        eventually("the message to be dead-lettered with the panic's message", async || {
            dead().contains("the handler panicked: failpoint consumer.handle").then_some(())
        })
        .await;
        publish(stage, 0).await;
        eventually("the next message to be consumed", async || {
            let metrics = stage.program.metrics();
            let is_counted =
                |line: &str| line.starts_with("messaging_consumed_total{") && line.ends_with(" 1");
            metrics.lines().any(is_counted).then_some(())
        })
        .await;
        findings.expect(dead().contains("1 shown of 1"), || format!("dead letters:\n{}", dead()));
    }
    if let Some(tasks) = stage.operations.iter().find(|it| it.template.ends_with("/tasks")) {
        let schedules = format!("{}/schedules", tasks.template.trim_end_matches("/tasks"));
        let schedule =
            get(stage, &schedules).json()["items"][0]["name"].as_str().unwrap_or_default().to_owned();
        let run = ask(stage, "POST", &format!("{schedules}/{schedule}/run"));
        findings.expect(run.status == 202, || {
            format!("running the schedule {schedule:?} answered {}", run.status)
        });
        eventually("the task that panicked to be tried again", async || {
            let listed = get(stage, &tasks.template).json();
            let mut tasks = listed["items"].as_array().into_iter().flatten();
            tasks.any(|task| task["attempt"].as_i64() > Some(1)).then_some(())
        })
        .await;
        let reason = "the task panicked: failpoint tasks.run";
        findings.expect(stage.program.log().contains(reason), || format!("the log does not say {reason:?}"));
    }
    until_no_session(stage, "state LIKE 'idle in transaction%'").await;
    findings.expect(get(stage, "/livez").status == 200, || "/livez is not 200 after panics".to_owned());
}

fn get(stage: &Stage<'_>, path: &str) -> Answer {
    ask(stage, "GET", path)
}

fn ask(stage: &Stage<'_>, method: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {}", stage.program.token);
    let answer = stage.program.request(method, path, &[("Authorization", bearer.as_str())], &[]);
    answer.unwrap_or_else(|error| panic!("{method} {path} gave no answer: {error}"))
}

/// Publishes an event whose header records `failed_before` failed attempts.
async fn publish(stage: &Stage<'_>, failed_before: u32) {
    let event = AccountConnected {
        token_id: TokenId::from(Uuid::now_v7()),
        user_id: "conformance".to_owned(),
        account_name: None,
        allegro_seller_id: "1".to_owned(),
        allegro_login: "conformance".to_owned(),
        connected_at: OffsetDateTime::UNIX_EPOCH,
        generation: 1,
    };
    let new = NewEvent { id: Uuid::now_v7().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    let event = Envelope::wrap(&event, new).expect("an event");
    let headers = json!({ "x-zaplecze-attempt": failed_before });
    eventually("a queue for the message", async || stage.vhost.publish(&event, &headers).then_some(())).await;
}

/// Waits until the service has no Postgres session that matches the condition.
async fn until_no_session(stage: &Stage<'_>, kind: &str) {
    let name = stage.subject.name;
    let sessions = format!(
        "pg_stat_activity WHERE datname = current_database() AND application_name = '{name}' AND {kind}"
    );
    eventually(&format!("no session in which {kind}"), async || {
        (stage.database.count(&sessions).await == 0).then_some(())
    })
    .await;
}
