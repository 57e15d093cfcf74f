//! `cargo xtask nightly`: runs the checks that take too long for every commit, and prints a table of their results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use stack::reaper::Reaper;
use stack::{process, root};

use crate::{bench, chaos, contracts};

/// Name of the service that is made from the template.
const SAMPLE: &str = "price-watch";

/// The step that tests the template.
const NEW_SERVICE: &str = "new-service";

/// Runs all steps, or the named ones, even if one fails. Prints their results and times, and fails when one failed.
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    let target = root().join("target");
    fs::create_dir_all(&target)?;
    let mut reaper = Reaper::start(&target.join("nightly.reaper"))?;
    let mut steps = vec!["demo".to_owned()];
    steps.extend(names::<chaos::Name>("chaos"));
    steps.extend(names::<bench::Name>("bench"));
    steps.extend(names::<contracts::Name>("contracts"));
    // Last, because it builds this program again, in another folder.
    steps.push(NEW_SERVICE.to_owned());
    if let Some(unknown) = only.iter().find(|name| !steps.contains(name)) {
        bail!("there is no step {unknown}; there are: {}", steps.join(", "));
    }
    let mut table = Vec::new();
    for step in steps.into_iter().filter(|step| only.is_empty() || only.contains(step)) {
        println!("\n=== {step}");
        let began = Instant::now();
        let outcome = if step == NEW_SERVICE {
            new_service(&target.join("nightly-service"), &mut reaper)
        } else {
            own(&step, &mut reaper)
        };
        table.push((step, began.elapsed(), outcome));
    }
    println!("\n{:24} {:8} {:>7}", "step", "", "minutes");
    for (step, took, outcome) in &table {
        let (word, trouble) = match outcome {
            Ok(()) => ("passed", String::new()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        println!("{step:24} {word:8} {:>7.1}  {trouble}", took.as_secs_f64() / 60.0);
    }
    let is_passed = table.iter().all(|(_, _, outcome)| outcome.is_ok());
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn names<N: ValueEnum + 'static>(command: &'static str) -> impl Iterator<Item = String> {
    let values = N::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(move |value| format!("{command} {}", value.get_name()))
}

/// A command of ours in its own process.
fn own(step: &str, reaper: &mut Reaper) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let status = process::run_watched(command.args(step.split(' ')), reaper)?;
    if status.success() { Ok(()) } else { bail!("{status}") }
}

/// Makes a service from the template in a copy of the checkout, and tests it.
fn new_service(copy: &Path, reaper: &mut Reaper) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy).with_context(|| format!("cannot empty {}", copy.display()))?;
    }
    for file in sources()? {
        let (from, to) = (root().join(&file), copy.join(&file));
        // Git still lists files that are deleted and not committed.
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a file in a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    let document = ["test", "--quiet", "-p", SAMPLE, "--test", "it", "the_document"];
    let steps: [(&[&str], &str); 4] = [
        (&["xtask", "new-service", SAMPLE], ""),
        (&document, "1"),
        (&["xtask", "test", "-p", SAMPLE], ""),
        (&["xtask", "check"], ""),
    ];
    for (words, update) in steps {
        let mut cargo = Command::new("cargo");
        // Other crates that were built are used here too.
        cargo.args(words).current_dir(copy).env("CARGO_TARGET_DIR", root().join("target"));
        if !update.is_empty() {
            cargo.env("UPDATE", update);
        }
        let status = process::run_watched(&mut cargo, reaper)?;
        if !status.success() {
            bail!("`cargo {}` failed, in {}", words.join(" "), copy.display());
        }
    }
    fs::remove_dir_all(copy).with_context(|| format!("cannot remove {}", copy.display()))
}

/// The current files of the checkout, committed or not.
fn sources() -> Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = process::run(Command::new("git").args(list).current_dir(root()))?;
    Ok(listed.split_terminator('\0').map(PathBuf::from).collect())
}
