//! Rows and limits of the stock-sync benchmark.

use super::stock::{LINES, Round, STEADY, Size};
use super::table::Reach::{AtLeast, AtMost};
use super::usage::megabytes;

type Row = super::table::Row<Round>;

pub(super) fn rows(size: &Size) -> Vec<Row> {
    let all = format!(
        "{} orders of {LINES} lines in the queue: event → committed deduction, orders/s",
        size.orders
    );
    vec![
        Row::told("one statement writes the same rows, orders/s", 0, |it| it.raw),
        Row::reaching(all, 0, |it| it.taken, AtLeast(1500.0)),
        Row::reaching("ratio", 2, |it| it.taken / it.raw, AtLeast(0.3)),
        Row::reaching(
            "the same orders: event → flag at allegro-backup, orders/s",
            0,
            |it| it.marked,
            AtLeast(500.0),
        ),
        Row::told("the service's CPU meanwhile, cores", 2, |it| it.cores),
        Row::told("the service's memory at most, MB", 0, |it| megabytes(it.peak_megabytes)),
        Row::told(format!("event → flag at {STEADY} orders/s, ms, p50"), 1, |it| it.p50),
        Row::reaching(format!("event → flag at {STEADY} orders/s, ms, p99"), 1, |it| it.p99, AtMost(200.0)),
        Row::reaching("operations done at the first try, %", 2, |it| it.first_try, AtLeast(99.0)),
    ]
}
