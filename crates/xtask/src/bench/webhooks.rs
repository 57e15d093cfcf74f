//! Deliveries a second, delays, an endpoint that hangs, and memory, beside bare requests to the same receivers.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;

use Reach::{AtLeast, AtMost};

use super::{page, spread};
use crate::webhook_figures::{Figures, number};

/// What a median must reach.
#[derive(Clone, Copy)]
enum Reach {
    AtLeast(f64),
    AtMost(f64),
}

/// A row of the table.
struct Row {
    what: &'static str,
    digits: usize,
    figure: fn(&Value) -> f64,
    reach: Option<Reach>,
}

const fn told(what: &'static str, digits: usize, figure: fn(&Value) -> f64) -> Row {
    Row { what, digits, figure, reach: None }
}

const ROWS: [Row; 19] = [
    told("bare requests to one endpoint, 32 at once, a second", 0, |it| number(it, "/one/raw")),
    Row {
        what: "recorded deliveries of a full queue to one endpoint, a second",
        digits: 0,
        figure: |it| number(it, "/one/speed"),
        reach: Some(AtLeast(5000.0)),
    },
    Row {
        what: "ratio",
        digits: 2,
        figure: |it| number(it, "/one/speed") / number(it, "/one/raw"),
        reach: Some(AtLeast(0.3)),
    },
    told("the service's CPU meanwhile, cores", 2, |it| number(it, "/one/cores")),
    told("the service's memory at most, MB", 0, |it| number(it, "/one/peak")),
    told("bare requests, 128 at once, a second", 0, |it| number(it, "/many/raw")),
    Row {
        what: "recorded deliveries of a full queue to 20 endpoints, a second",
        digits: 0,
        figure: |it| number(it, "/many/speed"),
        reach: Some(AtLeast(5000.0)),
    },
    Row {
        what: "ratio",
        digits: 2,
        figure: |it| number(it, "/many/speed") / number(it, "/many/raw"),
        reach: Some(AtLeast(0.3)),
    },
    told("the service's CPU meanwhile, cores", 2, |it| number(it, "/many/cores")),
    told("the service's memory at most, MB", 0, |it| number(it, "/many/peak")),
    Row {
        what: "fact published → received at 1,000/s, ms, p50",
        digits: 1,
        figure: |it| number(it, "/delays/p50"),
        reach: Some(AtMost(10.0)),
    },
    Row {
        what: "fact published → received at 1,000/s, ms, p99",
        digits: 1,
        figure: |it| number(it, "/delays/p99"),
        reach: Some(AtMost(100.0)),
    },
    told("the same for 99 of 100 endpoints, 20 facts/s, ms, p50", 1, |it| number(it, "/together/p50")),
    told("the same for 99 of 100 endpoints, 20 facts/s, ms, p99", 1, |it| number(it, "/together/p99")),
    told("the same while the hundredth hangs for 30 s, ms, p50", 1, |it| number(it, "/hanging/p50")),
    told("the same while the hundredth hangs for 30 s, ms, p99", 1, |it| number(it, "/hanging/p99")),
    Row {
        what: "p99 of the healthy ones, times as long",
        digits: 2,
        figure: |it| number(it, "/hanging/p99") / number(it, "/together/p99"),
        reach: Some(AtMost(1.5)),
    },
    Row {
        what: "memory at most while all of these are pending, half of them for endpoints that hang, MB",
        digits: 0,
        figure: |it| number(it, "/memory/peak"),
        reach: Some(AtMost(100.0)),
    },
    told("deliveries a second to the others meanwhile", 0, |it| number(it, "/memory/speed")),
];

pub(super) fn run(is_quick: bool) -> Result<ExitCode> {
    let mut figures = Figures::start()?;
    let (size, count, amounts) = if is_quick {
        ("quick", 1, "20,000 facts to one endpoint, 1,000 to 20; 100,000 pending")
    } else {
        ("full", 3, "50,000 facts to one endpoint, 5,000 to 20; 1,000,000 pending")
    };
    let mut rounds = Vec::new();
    for round in 1..=count {
        println!("round {round} of {count}");
        rounds.push(figures.run(&[size])?);
    }
    let table = table(&rounds);
    println!("\n{amounts}\n\n{table}");
    if !is_quick {
        page::write("webhooks", &table)?;
    }
    let missed: Vec<&str> = ROWS.iter().filter(|row| !is_reached(row, &rounds)).map(|row| row.what).collect();
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("missed: {}", missed.join(", "))
}

fn is_reached(row: &Row, rounds: &[Value]) -> bool {
    let median = spread(rounds, row.figure).1;
    match row.reach {
        Some(AtLeast(bound)) => median >= bound,
        Some(AtMost(bound)) => median <= bound,
        None => true,
    }
}

fn table(rounds: &[Value]) -> String {
    let mut text = "| what | median | least | most | reach |\n|---|---|---|---|---|\n".to_owned();
    for Row { what, digits, figure, reach } in &ROWS {
        let (least, median, most) = spread(rounds, figure);
        let reach = match reach {
            Some(AtLeast(bound)) => format!("≥ {bound}"),
            Some(AtMost(bound)) => format!("≤ {bound}"),
            None => String::new(),
        };
        // Writing to memory cannot fail.
        let _written =
            writeln!(text, "| {what} | {median:.digits$} | {least:.digits$} | {most:.digits$} | {reach} |");
    }
    text
}
