//! The HTTP interface as its document tells of it.

use std::thread;

use runtime::Service;
use serde_json::{Value, json};
use testkit::openapi::{committed, lint};
use testkit::{Program, eventually, every_route_guards_itself};
use webhook_dispatcher::WebhookDispatcher;

use crate::support::Desk;

#[test]
fn the_document_lacks_nothing_and_is_the_committed_one() {
    let document = WebhookDispatcher::openapi();
    assert_eq!(lint(&document), Vec::<String>::new());
    committed("openapi/webhook-dispatcher.json", &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_lets_in_whom_it_should_not() {
    every_route_guards_itself(&Desk::open().await.service, "webhook-dispatcher");
}

/// What two programs' logs tell of writes, once there are so many lines or more: they are written in the background.
async fn audited(programs: [&Program; 2], wanted: usize) -> Vec<Value> {
    eventually(&format!("{wanted} lines of the audit"), async || {
        let log = programs.map(Program::log).concat();
        let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told: Vec<Value> = told.filter(|line| line["logger"] == "audit").collect();
        (told.len() >= wanted).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_asked_for_again_is_made_once_whoever_answers_and_whatever_died() {
    let mut desk = Desk::open().await;
    let replica = desk.service.replica();
    let wish = json!({ "url": "http://127.0.0.1:9/hooks", "events": ["*"] });
    let ask = |program: &Program| {
        program.call("POST", "/api/v1/webhooks", Some(&program.token), "the-first-hook", &wish)
    };
    let answers: Vec<(u16, Value)> = thread::scope(|scope| {
        let threads: Vec<_> = [&desk.service, &replica]
            .into_iter()
            .cycle()
            .take(20)
            .map(|program| scope.spawn(move || ask(program)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Who is killed takes along what it has not written yet.
    audited([&desk.service, &replica], 20).await;
    desk.service.kill();
    desk.service.start_again();
    let (status, made) = ask(&desk.service);
    assert!(status == 201 && made["secret"].as_str().unwrap().starts_with("whsec_"), "{status} {made}");
    for (status, answer) in &answers {
        assert!(*status == 409 || (*status == 201 && *answer == made), "{status} {answer}");
    }
    assert!(answers.iter().any(|(status, _)| *status == 201));
    assert_eq!(desk.count("webhook_subscriptions").await, 1);

    // Each was a write, and the log tells of it: who, what, and which request; never the secret.
    let told = audited([&desk.service, &replica], 21).await;
    assert_eq!(told.len(), 21);
    for line in &told {
        let what = &line["extra"];
        assert_eq!((&what["subject"], &what["method"]), (&json!("test"), &json!("POST")), "{line}");
        assert_eq!(what["route"], "/api/v1/webhooks", "{line}");
        assert!(line["correlation_id"].is_string() && what["status"].is_u64(), "{line}");
    }
    let log = desk.service.log() + &replica.log();
    assert!(!log.contains(made["secret"].as_str().unwrap()));
}
