//! Metrics are there, and their labels have few values.

use std::time::Duration;

use domain::topology::SUBSCRIBERS;
use uuid::Uuid;

use super::commands::text;
use super::{Findings, Stage};
use crate::eventually_within;

/// A metric's name and its labels' names.
type Metric = (&'static str, &'static [&'static str]);

/// Of every service.
const ALWAYS: [Metric; 7] = [
    ("panics_total", &[]),
    (
        "http_server_request_duration_seconds_bucket",
        &["http_route", "http_request_method", "http_response_status_code"],
    ),
    ("db_pool_connections", &["pool"]),
    ("db_pool_connections_max", &["pool"]),
    ("db_pool_connections_in_use", &["pool"]),
    ("db_pool_waiting", &["pool"]),
    ("db_pool_wait_seconds_bucket", &["pool"]),
];
/// Of one that tells facts. That it does is seen from the first of them.
const RELAY: [Metric; 4] = [
    ("outbox_depth", &[]),
    ("outbox_oldest_age_seconds", &[]),
    ("messaging_published_total", &[]),
    ("messaging_unroutable_total", &[]),
];
/// Of one that is told facts.
const CONSUMER: [Metric; 4] = [
    ("messaging_consumed_total", &["consumer"]),
    ("messaging_retried_total", &[]),
    ("messaging_dead_total", &[]),
    ("messaging_queue_messages", &["queue"]),
];
/// Of one with tasks.
const TASKS: [Metric; 4] = [
    ("tasks_due", &[]),
    ("tasks_oldest_due_age_seconds", &[]),
    ("tasks_unknown_kind", &[]),
    ("tasks_duration_seconds_bucket", &["kind", "outcome"]),
];
/// Of one with schedules.
const SCHEDULES: [Metric; 1] = [("schedules_late_seconds_bucket", &[])];
/// Of one that tells people.
const ALERTS: [Metric; 3] = [
    ("alerts_open", &["severity"]),
    ("alerts_oldest_undelivered_age_seconds", &[]),
    ("alert_deliveries_total", &["channel", "outcome"]),
];
/// More series of one name are more than a template, a method and a status can make of a small service.
const MAX_SERIES: usize = 5000;
/// Gauges are set now and then.
const SET: Duration = Duration::from_secs(30);

pub(super) async fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let answer = stage.program.request("GET", "/metrics", &[], &[]).expect("metrics");
    findings.expect(answer.header("content-type").starts_with("text/plain"), || {
        format!("/metrics is {}", answer.header("content-type"))
    });
    for (name, labels) in wanted(stage) {
        let what = format!("the metric {name} with the labels {labels:?}");
        eventually_within(SET, &what, async || {
            exposed(stage).iter().any(|line| is_of(line, name, labels)).then_some(())
        })
        .await;
        findings.expect(true, String::new);
    }
    let series = exposed(stage);
    findings.expect(series.len() < MAX_SERIES, || format!("{} series", series.len()));
    for line in series {
        for value in labels(&line).split('"').skip(1).step_by(2) {
            findings.expect(is_bounded(value), || format!("the label value {value:?} may be any: {line}"));
        }
    }
}

/// What this service is to expose, by what it says it does.
fn wanted(stage: &Stage<'_>) -> Vec<Metric> {
    let has_path = |part: &str| stage.operations.iter().any(|it| it.template.contains(part));
    let settings = text(&stage.program.command(&["config", "check", "--list"], &[]));
    let parts: [(bool, &[Metric]); 6] = [
        (true, &ALWAYS),
        (exposed(stage).iter().any(|line| line.starts_with(RELAY[0].0)), &RELAY),
        (SUBSCRIBERS.iter().any(|it| it.service == stage.subject.name), &CONSUMER),
        (has_path("/tasks"), &TASKS),
        (has_path("/schedules"), &SCHEDULES),
        (settings.contains("ALERTS_TELEGRAM_TOKEN"), &ALERTS),
    ];
    parts.into_iter().filter(|(is_part, _)| *is_part).flat_map(|(_, metrics)| metrics).copied().collect()
}

fn exposed(stage: &Stage<'_>) -> Vec<String> {
    let answer = stage.program.request("GET", "/metrics", &[], &[]).expect("metrics");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

fn labels(line: &str) -> &str {
    line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels)
}

fn is_of(line: &str, name: &str, wanted: &[&str]) -> bool {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    line.get(..end) == Some(name) && wanted.iter().all(|label| labels(line).contains(&format!("{label}=\"")))
}

/// Neither an id, nor an address, nor anything a caller wrote.
fn is_bounded(value: &str) -> bool {
    let has_id = value.split(['/', ' ', ':', '.']).any(|part| Uuid::try_parse(part).is_ok());
    !has_id && !value.contains('@') && !value.contains("://") && !value.contains('%') && value.len() <= 100
}
