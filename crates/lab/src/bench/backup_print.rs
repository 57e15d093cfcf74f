//! Rows and limits of the backup benchmark.

use super::backup::{Round, Size};
use super::first_sync::RAW;
use super::table::Threshold::{AtLeast, AtMost};
use super::usage::megabytes;

type Row = super::table::Row<Round>;

/// Maximum share of one core for polling a thousand accounts.
pub(super) const CORES: f64 = 0.5;

/// Ratio of the sample's first to its last speed.
fn growth(round: &Round) -> f64 {
    let speed = |end: Option<&(u32, f64)>| end.map_or(f64::NAN, |(_, speed)| *speed);
    speed(round.growth.first()) / speed(round.growth.last())
}

pub(super) fn rows(size: &Size, rounds: &[Round]) -> Vec<Row> {
    let first_sync = format!("first sync of {} orders, orders/s", size.orders);
    let mut rows = vec![
        Row::info("the sandbox alone, orders/s", 0, |it| it.sandbox),
        Row::info(format!("{RAW}, orders/s"), 0, |it| it.raw),
        Row::checked(first_sync, 0, |it| it.sync, AtLeast(5000.0)),
        Row::checked("ratio", 2, |it| it.sync / it.raw, AtLeast(0.4)),
        // The service cannot read faster than the sandbox serves.
        Row::checked("the sandbox alone, times as fast", 1, |it| it.sandbox / it.sync, AtLeast(1.0)),
        Row::info("the service's CPU meanwhile, cores", 2, |it| it.cores),
        Row::info("until the broker has the last event, s more", 1, |it| it.published_after.as_secs_f64()),
    ];
    for (place, part) in ["¼", "½", "¾", "all"].into_iter().enumerate() {
        rows.push(Row::info(format!("memory when {part} was read, MB"), 0, move |it| {
            it.quarters.get(place).map_or(f64::NAN, |at| megabytes(*at))
        }));
    }
    let polled = format!("of {} accounts polled within a minute", size.accounts);
    rows.extend([
        Row::checked("memory at most, MB", 0, |it| megabytes(it.peak_megabytes), AtMost(100.0)),
        Row::info("event shown → stored at 50 events/s, ms, p50", 0, |it| it.shown.0),
        Row::checked("event shown → stored at 50 events/s, ms, p99", 0, |it| it.shown.1, AtMost(300.0)),
        Row::info("event written → stored, looked at each second, ms, p99", 0, |it| it.written.1),
        Row::checked(polled, 0, |it| f64::from(it.polled), AtLeast(f64::from(size.accounts))),
        Row::checked("the service's CPU meanwhile, cores", 2, |it| it.polling_cores, AtMost(CORES)),
    ]);
    let stages = rounds.first().map_or(&[][..], |round| round.growth.as_slice());
    for (place, (stored, _)) in stages.iter().enumerate() {
        rows.push(Row::info(format!("first sync of 10,000 with {stored} stored, orders/s"), 0, move |it| {
            it.growth.get(place).map_or(f64::NAN, |(_, speed)| *speed)
        }));
    }
    rows.push(Row::checked("slower over that range", 2, growth, AtMost(1.5)));
    rows
}
