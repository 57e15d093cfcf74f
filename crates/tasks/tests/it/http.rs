use std::sync::Arc;

use actix_web::web::Data;
use diesel_async::SimpleAsyncConnection;
use domain::{Clock, SystemClock};
use pg::sealed::Keyring;
use serde_json::{Value, json};
use tasks::schedules::{self, NewSchedule};
use tasks::{NewTask, Payload, Timing};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use web::{Authenticator, Idempotency, Server};
use zeroize::Zeroizing;

use crate::support::{database, enqueue, gated_task, new_task};

/// Sends a request to the server and returns status and body.
async fn call(base: &str, method: &str, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
    let (url, key, method) = (format!("{base}/api/v1/sync{path}"), key.to_owned(), method.to_owned());
    let answer = tokio::task::spawn_blocking(move || {
        let agent =
            ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let request =
            ureq::http::Request::builder().method(method.as_str()).uri(url).header("x-api-key", key);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request.body(String::new()),
        };
        let mut answer = agent.run(request.unwrap()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    });
    answer.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_schedules_are_read_and_changed_over_http() {
    let database = database().await;
    let pool = database.pool();
    let routes_pool = pool.clone();
    let keyring = Keyring::new([("k1".to_owned(), Zeroizing::new([1; 32]))]).unwrap();
    let answers = Idempotency::new(pool.clone(), keyring, Arc::new(SystemClock));
    let server = Server::new(Authenticator::new("tasks-test").insecure_local(true))
        .routes(move |routes| {
            routes.app_data(Data::new(answers.clone()));
            tasks::http::routes(routes, "/sync", &routes_pool);
        })
        .bind(([127, 0, 0, 1], 0))
        .unwrap();
    let base = format!("http://{}", server.address());
    let stop = CancellationToken::new();
    tokio::spawn(server.run(stop.clone(), stop.clone()));

    let waiting = enqueue(&pool, &NewTask { user_id: Some("żółw".to_owned()), ..new_task("q") }).await;
    enqueue(&pool, &new_task("other")).await;
    let (status, page) = call(&base, "GET", "/tasks?limit=1", "", None).await;
    assert_eq!((status, page["items"][0]["queue"].as_str()), (200, Some("other")));
    let next = format!("/tasks?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, page) = call(&base, "GET", &next, "", None).await;
    assert_eq!(
        (page["items"][0]["task_id"].as_str(), &page["next_cursor"]),
        (Some(&*waiting.to_string()), &Value::Null)
    );
    let (_, page) = call(&base, "GET", "/tasks?status=PROGRESS", "", None).await;
    assert_eq!(page["items"], json!([]));
    let (status, problem) = call(&base, "GET", "/tasks?status=WAITING", "", None).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (400, Some("status")));

    let one = format!("/tasks/{waiting}");
    let (_, task) = call(&base, "GET", &one, "", None).await;
    assert_eq!((&task["status"], &task["user_id"]), (&json!("PENDING"), &json!("żółw")));
    assert_eq!(call(&base, "POST", &format!("{one}/retry"), "", None).await.0, 409);
    for _ in 0..2 {
        let (status, task) = call(&base, "POST", &format!("{one}/stop"), "", None).await;
        assert_eq!((status, &task["status"]), (200, &json!("CANCELLED")));
    }
    let (status, task) = call(&base, "POST", &format!("{one}/retry"), "", None).await;
    assert_eq!((status, &task["status"], &task["error"]), (200, &json!("PENDING"), &Value::Null));
    let unknown = "/tasks/01890000-0000-7000-8000-000000000000";
    for (method, path) in [("GET", unknown.to_owned()), ("POST", format!("{unknown}/cancel"))] {
        let (status, problem) = call(&base, method, &path, "", None).await;
        assert_eq!((status, &problem["code"]), (404, &json!("task_not_found")));
    }

    let nightly = NewSchedule {
        name: "nightly".to_owned(),
        payload: Payload::of(&gated_task()),
        queue: "q".to_owned(),
        max_attempts: 1,
        user_id: None,
        timing: Timing::cron("15 3 * * *", "Europe/Warsaw").unwrap(),
        first_run_at: None,
    };
    schedules::put(&mut pool.get().await.unwrap(), SystemClock.now(), &nightly).await.unwrap();
    let (_, listed) = call(&base, "GET", "/schedules", "", None).await;
    assert_eq!((&listed["items"][0]["cron"], &listed["next_cursor"]), (&json!("15 3 * * *"), &Value::Null));
    let (status, changed) =
        call(&base, "PATCH", "/schedules/nightly", "", Some(json!({ "is_enabled": false }))).await;
    assert_eq!((status, &changed["is_enabled"]), (200, &json!(false)));
    let (status, problem) =
        call(&base, "PATCH", "/schedules/nightly", "", Some(json!({ "enabled": 1 }))).await;
    assert_eq!((status, problem["errors"][0]["pointer"].as_str()), (400, Some("/enabled")));
    let (status, problem) = call(&base, "POST", "/schedules/nightly/run", "", None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("schedule_off")));
    call(&base, "PATCH", "/schedules/nightly", "", Some(json!({ "is_enabled": true }))).await;
    // At any time of day, its own next run is far in the future.
    let far_off = "UPDATE schedules SET next_run_at = now() + interval '10 hours'";
    pool.get().await.unwrap().batch_execute(far_off).await.unwrap();
    let before = pg::now(&mut pool.get().await.unwrap()).await.unwrap();
    let (status, due) = call(&base, "POST", "/schedules/nightly/run", "", None).await;
    assert_eq!(status, 202);
    let after = pg::now(&mut pool.get().await.unwrap()).await.unwrap();
    let next = OffsetDateTime::parse(due["next_run_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((before..=after).contains(&next), "{before} {next} {after}");
    assert_eq!(call(&base, "POST", "/schedules/weekly/run", "", None).await.0, 404);
    stop.cancel();
}
