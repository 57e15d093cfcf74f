//! The commands every binary has.

use std::process::Output;

use serde_json::Value;

use super::{Findings, Stage};
use crate::program::JWT_SECRET;

const HELP: [&[&str]; 9] = [
    &["--help"],
    &["serve", "--help"],
    &["migrate", "--help"],
    &["health-check", "--help"],
    &["config", "--help"],
    &["config", "check", "--help"],
    &["openapi", "--help"],
    &["token", "--help"],
    &["token", "issue", "--help"],
];

pub(super) fn check(stage: &Stage<'_>, findings: &mut Findings) {
    let program = &stage.program;
    for arguments in HELP {
        let help = program.command(arguments, &[]);
        let is_help = help.status.success() && text(&help).contains("Usage: zaplecze-");
        findings.expect(is_help, || format!("{arguments:?} is no help:\n{}", text(&help)));
    }
    let all = text(&program.command(&["config", "check", "--help"], &[]));
    for name in ["DATABASE_URL", "API_PORT", "LOG_LEVEL", "AUTH_JWT_SECRET"] {
        findings.expect(all.contains(name), || format!("`config check --help` does not list {name}"));
    }

    let effective = program.command(&["config", "check"], &[]);
    findings.expect(effective.status.success(), || format!("config check:\n{}", text(&effective)));
    findings.expect(!text(&effective).contains(JWT_SECRET), || "config check shows a secret".to_owned());

    // It was migrated before it started.
    let again = program.command(&["migrate"], &[]);
    let is_silent = again.status.success() && !text(&again).contains("\"migrated\"");
    findings.expect(is_silent, || format!("a second `migrate` does something:\n{}", text(&again)));

    // Every service seals the answers it keeps, at least.
    let rotated = program.command(&["rotate-keys"], &[]);
    let is_rotated = rotated.status.success() && text(&rotated).starts_with("all rows under key ");
    findings.expect(is_rotated, || format!("rotate-keys:\n{}", text(&rotated)));

    let printed: Value =
        serde_json::from_slice(&program.command(&["openapi"], &[]).stdout).unwrap_or_default();
    let served = program.request("GET", "/openapi.json", &[], &[]).expect("a document");
    findings.expect(printed.is_object() && printed == served.json(), || {
        "`openapi` prints another document than /openapi.json".to_owned()
    });
    findings.expect(printed["info"]["title"] == stage.subject.name, || {
        format!("the OpenAPI document is called {}", printed["info"]["title"])
    });

    let port = program.url().rsplit(':').next().unwrap_or_default().to_owned();
    for (port, expected) in [(port.as_str(), Some(0)), ("1", Some(1))] {
        let checked = program.command(&["health-check"], &[("API_PORT", port)]);
        findings.expect(checked.status.code() == expected, || {
            format!("health-check of port {port} ended with {}:\n{}", checked.status, text(&checked))
        });
    }
    let issue = ["token", "issue", "--sub", "test", "--scope", "x:read"];
    let unsigned = program.command(&issue, &[("AUTH_JWT_SECRET", "")]);
    findings.expect(unsigned.status.code() == Some(2) && text(&unsigned).contains("AUTH_JWT_SECRET"), || {
        format!("`token issue` without a secret ended with {}:\n{}", unsigned.status, text(&unsigned))
    });
    for (option, claims) in
        [("--sub", ["--sub", "", "--scope", "x:read"]), ("--scope", ["--sub", "x", "--scope", " "])]
    {
        let refused = program.command(&[&["token", "issue"], claims.as_slice()].concat(), &[]);
        findings.expect(refused.status.code() == Some(2) && text(&refused).contains(option), || {
            format!("`token issue` with an empty {option} ended with {}:\n{}", refused.status, text(&refused))
        });
    }
}

/// All it said.
pub(super) fn text(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{error}")
}
