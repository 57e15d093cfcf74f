//! From the outbox of one service to the inbox of another, beside bare confirmed publishes of the same bodies.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::spread;
use crate::servers::{self, Keeping};
use crate::{process, root};

/// What must be reached: of the bare publishes, and in facts a second.
const RATIO: f64 = 0.3;
const PER_SECOND: f64 = 6000.0;
/// Milliseconds from a commit to the commit of the effect, 99 % of the facts at 500 a second.
const DELAY: f64 = 50.0;

/// One round, as the measured program tells it.
struct Round {
    body: f64,
    raw: f64,
    relay: f64,
    p50: f64,
    p99: f64,
}

pub(super) fn run(facts: u32, rounds: usize) -> Result<ExitCode> {
    let program = build()?;
    let servers = servers::start(&root().join("target/stack-bench"), Keeping::Everything)?;
    let mut measured = Vec::new();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let mut command = Command::new(&program);
        command.arg(facts.to_string());
        command.envs(servers.environment.iter().map(|(name, value)| (*name, value)));
        measured.push(read(&process::run(&mut command)?)?);
    }
    print(facts, &measured);
    let of = |figure: fn(&Round) -> f64| spread(&measured, figure).1;
    let reached = [
        ("ratio", of(|it| it.relay / it.raw) >= RATIO),
        ("facts a second", of(|it| it.relay) >= PER_SECOND),
        ("delay", of(|it| it.p99) <= DELAY),
    ];
    let missed: Vec<&str> =
        reached.iter().filter(|(_, is_reached)| !is_reached).map(|(what, _)| *what).collect();
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("missed: {}", missed.join(", "))
}

/// Builds the program in release and returns where it is.
fn build() -> Result<PathBuf> {
    println!("building in release");
    let words = ["build", "--release", "--quiet", "--package", "messaging", "--example", "relay_bench"];
    process::run(Command::new("cargo").args(words).current_dir(root()))?;
    Ok(root().join("target/release/examples/relay_bench"))
}

fn read(line: &str) -> Result<Round> {
    let figures: Value = serde_json::from_str(line).with_context(|| format!("no figures: {line}"))?;
    let number = |name: &str| figures.get(name).and_then(Value::as_f64).with_context(|| format!("no {name}"));
    Ok(Round {
        body: number("body")?,
        raw: number("raw")?,
        relay: number("relay")?,
        p50: number("p50")?,
        p99: number("p99")?,
    })
}

fn print(facts: u32, rounds: &[Round]) {
    let row = |what: &str, figure: fn(&Round) -> f64, digits: usize| {
        let (least, median, most) = spread(rounds, figure);
        println!("| {what} | {median:.digits$} | {least:.digits$} | {most:.digits$} |");
    };
    let body = spread(rounds, |it| it.body).1;
    println!(
        "\n{facts} facts a round, bodies of {body:.0} bytes\n\n| what | median | least | most |\n|---|---|---|---|"
    );
    row("bare confirmed publishes to a quorum queue, window 1,000, a second", |it| it.raw, 0);
    row("outbox to inbox, a second", |it| it.relay, 0);
    row("ratio", |it| it.relay / it.raw, 2);
    row("commit to effect at 500/s, ms, p50", |it| it.p50, 1);
    row("commit to effect at 500/s, ms, p99", |it| it.p99, 1);
}
