//! Benchmarks deliveries per second, delays, an endpoint that hangs, and memory, beside bare requests to the same
//! receivers.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::table;
use super::table::Threshold::{AtLeast, AtMost};
use crate::webhook_figures::{Figures, number};

type Row = super::table::Row<Value>;

/// Rows and limits of the table.
fn rows() -> Vec<Row> {
    vec![
        Row::info("bare requests to one endpoint, 32 at once, a second", 0, |it| number(it, "/one/raw")),
        Row::checked(
            "recorded deliveries of a full queue to one endpoint, a second",
            0,
            |it| number(it, "/one/speed"),
            AtLeast(5000.0),
        ),
        Row::checked("ratio", 2, |it| number(it, "/one/speed") / number(it, "/one/raw"), AtLeast(0.3)),
        Row::info("the service's CPU meanwhile, cores", 2, |it| number(it, "/one/cores")),
        Row::info("the service's memory at most, MB", 0, |it| number(it, "/one/peak")),
        Row::info("bare requests, 128 at once, a second", 0, |it| number(it, "/many/raw")),
        Row::checked(
            "recorded deliveries of a full queue to 20 endpoints, a second",
            0,
            |it| number(it, "/many/speed"),
            AtLeast(5000.0),
        ),
        Row::checked("ratio", 2, |it| number(it, "/many/speed") / number(it, "/many/raw"), AtLeast(0.3)),
        Row::info("the service's CPU meanwhile, cores", 2, |it| number(it, "/many/cores")),
        Row::info("the service's memory at most, MB", 0, |it| number(it, "/many/peak")),
        Row::checked(
            "event published → received at 1,000/s, ms, p50",
            1,
            |it| number(it, "/delays/p50"),
            AtMost(10.0),
        ),
        Row::checked(
            "event published → received at 1,000/s, ms, p99",
            1,
            |it| number(it, "/delays/p99"),
            AtMost(100.0),
        ),
        Row::info("the same for 99 of 100 endpoints, 20 events/s, ms, p50", 1, |it| {
            number(it, "/together/p50")
        }),
        Row::info("the same for 99 of 100 endpoints, 20 events/s, ms, p99", 1, |it| {
            number(it, "/together/p99")
        }),
        Row::info("the same while the hundredth hangs for 30 s, ms, p50", 1, |it| number(it, "/hanging/p50")),
        Row::info("the same while the hundredth hangs for 30 s, ms, p99", 1, |it| number(it, "/hanging/p99")),
        Row::checked(
            "p99 of the healthy ones, times as long",
            2,
            |it| number(it, "/hanging/p99") / number(it, "/together/p99"),
            AtMost(1.5),
        ),
        Row::checked(
            "memory at most while all of these are pending, half of them for endpoints that hang, MB",
            0,
            |it| number(it, "/memory/peak"),
            AtMost(100.0),
        ),
        Row::info("deliveries a second to the others meanwhile", 0, |it| number(it, "/memory/speed")),
    ]
}

pub(super) fn run(is_quick: bool) -> Result<ExitCode> {
    let mut figures = Figures::start()?;
    let (size, count, amounts) = if is_quick {
        ("quick", 1, "20,000 events to one endpoint, 1,000 to 20; 100,000 pending")
    } else {
        ("full", 3, "50,000 events to one endpoint, 5,000 to 20; 1,000,000 pending")
    };
    let rounds = table::rounds(count, || figures.run(&[size]))?;
    println!("\n{amounts}");
    table::conclude(&rows(), &rounds, (!is_quick).then_some("webhooks"))
}
