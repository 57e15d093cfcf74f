//! `/livez` never looks at dependencies; `/readyz` names the one that is away, and heals.

use std::time::Duration;

use serde_json::Value;

use super::{Findings, Stage};
use crate::eventually_within;

/// A frozen connection is known for dead, and another one is made, within this.
const HEALED: Duration = Duration::from_mins(1);

pub(super) async fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let ask = |path: &str| {
        let answer = stage.program.request("GET", path, &[], &[]).expect("an answer");
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    for (name, proxy) in &stage.proxies {
        let is_required = stage.subject.required.contains(name);
        if !is_required && !ask("/health").1.contains(&format!("\"{name}\"")) {
            // Not one of its dependencies.
            continue;
        }
        proxy.stall();
        let path = if is_required { "/readyz" } else { "/health" };
        let said = eventually_within(HEALED, &format!("{path} to tell of {name}"), async || {
            let (status, said) = ask(path);
            let is_told =
                if is_required { status == 503 && said.contains(name) } else { is_down(&said, name) };
            is_told.then_some(said)
        })
        .await;
        let frozen = format!("while {name} is frozen");
        findings.expect(ask("/livez").0 == 200, || format!("/livez is not 200 {frozen}"));
        findings.expect(ask("/metrics").0 == 200, || format!("/metrics is not 200 {frozen}"));
        findings.expect(!said.contains("://"), || format!("{path} shows an address {frozen}: {said}"));
        findings.expect((ask("/readyz").0 == 200) != is_required, || format!("/readyz is wrong {frozen}"));
        let (status, report) = ask("/health");
        let is_unhealthy = status == 503 && report.contains("\"unhealthy\"");
        let is_degraded = status == 200 && report.contains("\"degraded\"");
        findings.expect(if is_required { is_unhealthy } else { is_degraded }, || {
            format!("/health says {report} {frozen}")
        });
        proxy.pass();
        eventually_within(HEALED, &format!("{name} to be back"), async || {
            (ask("/health").1.contains("\"healthy\"") && ask("/readyz").0 == 200).then_some(())
        })
        .await;
    }
}

fn is_down(report: &str, name: &str) -> bool {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    report["dependencies"][name]["status"] == "down"
}
