//! `cargo xtask check`: everything that can be checked without running anything.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::{docs, process, root, tidy};

/// Runs every check, and says at the end which failed.
pub(crate) fn run() -> ExitCode {
    let mut failed = Vec::new();
    let mut report = |name: &'static str, result: Result<()>, started: Instant| {
        let seconds = started.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                println!("FAILED  {name} ({seconds:.1} s)\n{error:#}");
                failed.push(name);
            }
        }
    };
    let cargo = |words: &[&str], environment: &[(&str, &str)]| -> Result<()> {
        let mut command = Command::new("cargo");
        process::run(command.args(words).envs(environment.iter().copied()).current_dir(root())).map(drop)
    };
    let started = Instant::now();
    report("formatting", cargo(&["fmt", "--all", "--check"], &[]), started);
    let started = Instant::now();
    report("architecture rules", tidy::run(), started);
    let started = Instant::now();
    report("generated documents", docs::run(true), started);
    let started = Instant::now();
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    report("lints", cargo(&clippy, &[]), started);
    let started = Instant::now();
    let doc = ["doc", "--quiet", "--workspace", "--no-deps"];
    report("documentation", cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")]), started);
    if Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let started = Instant::now();
        let deny = ["deny", "check", "bans", "licenses", "sources"];
        report("dependencies", cargo(&deny, &[]), started);
    } else {
        println!("skipped dependencies (cargo-deny is not installed)");
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}
