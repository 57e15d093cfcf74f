//! Tests the services' OpenAPI documents with schemathesis: every check, with a token of every scope, against a whole
//! stack.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde_json::Value;
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, process};

use super::{Bounds, install_python, prepare};

const FILES: [&str; 3] = [
    "tests/contracts/api/requirements.txt",
    "tests/contracts/api/rules.py",
    "tests/contracts/api/schemathesis.toml",
];

/// The counts of one service's run.
struct Findings {
    service: &'static str,
    operations: u64,
    cases: u64,
    failures: u64,
    errors: u64,
    is_clean: bool,
}

/// Tests one service after the other. Fails when there is a finding, or when a run did not end by itself.
pub(super) fn run(bounds: &Bounds) -> Result<ExitCode> {
    build::stack(Profile::Demo)?;
    let folder = prepare("api", &FILES)?;
    install_python(&folder)?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(Profile::Demo, &names)?;
    let token = stack.token()?;
    let mut all = Vec::new();
    for service in SERVICES {
        println!("\n=== {}", service.name);
        let report = folder.join(format!("{}.json", service.name));
        let document = format!("{}/openapi.json", stack.address(service.url_variable));
        let mut command = Command::new(folder.join("python/bin/schemathesis"));
        command.args(["run", &document]);
        command.args(["--max-examples", &bounds.examples.to_string()]);
        command.args(["--max-time", &bounds.seconds.to_string()]);
        command.arg("--report-json-path").arg(&report);
        command.env("API_TOKEN", &token).current_dir(&folder);
        let status = process::run_watched(&mut command, stack.servers().reaper())?;
        all.push(read(service.name, &report, status.success())?);
    }
    println!("\n{:20} {:>10} {:>8} {:>9} {:>7}", "service", "operations", "cases", "failures", "errors");
    for Findings { service, operations, cases, failures, errors, .. } in &all {
        println!("{service:20} {operations:>10} {cases:>8} {failures:>9} {errors:>7}");
    }
    let is_clean = all.iter().all(|findings| findings.is_clean);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the report of a run that ended, with or without success. A run that tested nothing is not clean.
fn read(service: &'static str, report: &Path, has_succeeded: bool) -> Result<Findings> {
    let text = fs::read(report).with_context(|| format!("cannot read {}", report.display()))?;
    let report: Value = serde_json::from_slice(&text)?;
    let count = |pointer: &str| {
        let count = report.pointer(pointer).and_then(Value::as_u64);
        count.with_context(|| format!("the report of {service} has no {pointer}"))
    };
    let mut findings = Findings {
        service,
        operations: count("/operations/tested")?,
        cases: count("/test_cases/generated")?,
        failures: count("/test_cases/unique_failures")?,
        errors: count("/test_cases/errored")?,
        is_clean: false,
    };
    let has_any = findings.failures + findings.errors > 0;
    findings.is_clean = has_succeeded && !has_any && findings.operations > 0 && findings.cases > 0;
    Ok(findings)
}
