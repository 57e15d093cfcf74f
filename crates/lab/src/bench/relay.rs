//! Benchmarks the outbox of one service to the inbox of another, beside bare confirmed publishes of the same bodies.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde_json::Value;
use stack::build::{self, Profile};
use stack::servers::{self, Keeping};
use stack::{process, root};

use super::table;
use super::table::Threshold::{AtLeast, AtMost};

type Row = super::table::Row<Round>;

/// Results of one round, as printed by the measured program.
struct Round {
    body: f64,
    raw: f64,
    relay: f64,
    p50: f64,
    p99: f64,
}

pub(super) fn run(events: u32, rounds: usize) -> Result<ExitCode> {
    build::programs(Profile::Release, &["-p", "messaging", "--example", "relay_bench"])?;
    let program = Profile::Release.folder().join("examples/relay_bench");
    let servers = servers::start(&root().join("target/stack-bench"), Keeping::Everything)?;
    let rounds = table::rounds(rounds, || {
        let mut command = Command::new(&program);
        command.arg(events.to_string());
        command.envs(servers.environment.iter().map(|(name, value)| (*name, value)));
        read(&process::run(&mut command)?)
    })?;
    println!("\n{events} events per round");
    table::conclude(&rows(), &rounds, None)
}

/// Rows and limits of the table.
fn rows() -> [Row; 6] {
    [
        Row::info("bytes of a body", 0, |it| it.body),
        Row::info("bare confirmed publishes to a quorum queue, window 1,000, a second", 0, |it| it.raw),
        Row::checked("outbox to inbox, a second", 0, |it| it.relay, AtLeast(6000.0)),
        Row::checked("ratio", 2, |it| it.relay / it.raw, AtLeast(0.3)),
        Row::info("commit to effect at 500/s, ms, p50", 1, |it| it.p50),
        Row::checked("commit to effect at 500/s, ms, p99", 1, |it| it.p99, AtMost(50.0)),
    ]
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
