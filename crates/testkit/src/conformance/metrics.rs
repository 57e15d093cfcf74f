//! Metrics are there, and their labels have few values.

use uuid::Uuid;

use super::{Findings, Stage};

/// What every service counts.
const NAMES: [&str; 1] = ["http_server_request_duration_seconds_bucket"];
/// More series of one name are more than a template, a method and a status can make of a small service.
const MAX_SERIES: usize = 5000;

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let answer = stage.program.request("GET", "/metrics", &[], &[]).expect("metrics");
    findings.expect(answer.header("content-type").starts_with("text/plain"), || {
        format!("/metrics is {}", answer.header("content-type"))
    });
    let text = String::from_utf8_lossy(&answer.body);
    let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    for name in NAMES {
        findings.expect(series.iter().any(|line| line.starts_with(name)), || format!("no metric {name}"));
    }
    findings.expect(series.len() < MAX_SERIES, || format!("{} series", series.len()));
    for line in series {
        let labels =
            line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(it, _)| it);
        for value in labels.split('"').skip(1).step_by(2) {
            findings.expect(is_bounded(value), || format!("the label value {value:?} may be any: {line}"));
        }
    }
}

/// Neither an id, nor an address, nor anything a caller wrote.
fn is_bounded(value: &str) -> bool {
    let has_id = value.split(['/', ' ', ':', '.']).any(|part| Uuid::try_parse(part).is_ok());
    !has_id && !value.contains('@') && !value.contains("://") && !value.contains('%') && value.len() <= 100
}
