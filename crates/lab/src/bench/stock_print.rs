//! Rows and limits of the stock-sync benchmark.

use super::stock::{LINES, Round, STEADY, Size};
use super::table::Threshold::{AtLeast, AtMost};
use super::usage::megabytes;

type Row = super::table::Row<Round>;

pub(super) fn rows(size: &Size) -> Vec<Row> {
    let all = format!(
        "{} orders of {LINES} lines in the queue: event → committed deduction, orders/s",
        size.orders
    );
    vec![
        Row::info("one statement writes the same rows, orders/s", 0, |it| it.raw),
        Row::checked(all, 0, |it| it.deducted, AtLeast(1500.0)),
        Row::checked("ratio", 2, |it| it.deducted / it.raw, AtLeast(0.3)),
        Row::checked(
            "the same orders: event → flag at allegro-backup, orders/s",
            0,
            |it| it.flagged,
            AtLeast(500.0),
        ),
        Row::info("the service's CPU meanwhile, cores", 2, |it| it.cores),
        Row::info("the service's memory at most, MB", 0, |it| megabytes(it.peak_megabytes)),
        Row::info(format!("event → flag at {STEADY} orders/s, ms, p50"), 1, |it| it.p50),
        Row::checked(format!("event → flag at {STEADY} orders/s, ms, p99"), 1, |it| it.p99, AtMost(200.0)),
        Row::checked("operations done at the first try, %", 2, |it| it.first_try, AtLeast(99.0)),
    ]
}
