//! `cargo xtask check`: every check that needs no running service.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use stack::reaper::Reaper;
use stack::{SERVICES, process, root};

use crate::{docs, features, schema, tidy};

/// Runs every check, and fails at the end if one failed.
pub(crate) fn run() -> Result<ExitCode> {
    std::fs::create_dir_all(root().join("target"))?;
    let mut reaper = Reaper::start(&root().join("target").join("check.reaper"))?;
    let mut failed = Vec::new();
    let mut report = |name: &'static str, check: &mut dyn FnMut() -> Result<()>| {
        let started = Instant::now();
        let result = check();
        let seconds = started.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("ok      {name} ({seconds:.1} s)"),
            Err(error) => {
                println!("FAILED  {name} ({seconds:.1} s)\n{error:#}");
                failed.push(name);
            }
        }
    };
    let mut cargo = |words: &[&str], environment: &[(&str, &str)]| -> Result<()> {
        let mut command = Command::new("cargo");
        command.args(words).envs(environment.iter().copied()).current_dir(root());
        let status = process::run_watched(&mut command, &mut reaper)?;
        if status.success() { Ok(()) } else { bail!("`cargo {}` failed", words.join(" ")) }
    };
    report("formatting", &mut || cargo(&["fmt", "--all", "--check"], &[]));
    report("architecture rules", &mut tidy::run);
    report("one feature set", &mut features::check);
    report("generated documents", &mut || docs::run(true));
    report("declarations of tables", &mut || schema::run(true));
    report("no failpoints in what is shipped", &mut failpoints);
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    report("lints", &mut || cargo(&clippy, &[]));
    let doc = ["doc", "--quiet", "--workspace", "--no-deps"];
    report("documentation", &mut || cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")]));
    if Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let deny = ["deny", "--log-level", "error", "check", "bans", "licenses", "sources"];
        report("dependencies", &mut || cargo(&deny, &[]));
    } else {
        println!("skipped dependencies (`cargo install --locked cargo-deny` adds this check)");
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// No program enables the failpoints: only dev-dependencies may, which are not part of a release build.
fn failpoints() -> Result<()> {
    for service in SERVICES {
        let words = ["tree", "--edges", "normal,build,features", "--prefix", "none", "-p", service.name];
        let tree = process::run(Command::new("cargo").args(words).current_dir(root()))?;
        if tree.contains("failpoint feature \"armed\"") {
            bail!(
                "{} would be shipped with failpoints: make `failpoint/armed` a dev-dependency",
                service.name
            );
        }
    }
    Ok(())
}
