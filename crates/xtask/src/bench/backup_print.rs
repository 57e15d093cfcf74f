//! The figures of the backup as a table, and which of them miss what must be reached.

use std::fmt::Write as _;

use super::backup::{Round, Size};
use super::first_sync::RAW;
use super::spread;

/// What must be reached: of COPY and upsert, orders a second, memory, milliseconds, cores, and how much slower the same
/// work may get as more is stored.
const RATIO: f64 = 0.4;
const PER_SECOND: f64 = 5000.0;
const MEGABYTES: f64 = 100.0;
const DELAY: f64 = 300.0;
pub(super) const CORES: f64 = 0.5;
const GROWTH: f64 = 1.5;

/// How much slower the sample got from the first to the last time it was measured.
fn growth(round: &Round) -> f64 {
    let speed = |end: Option<&(u32, f64)>| end.map_or(f64::NAN, |(_, speed)| *speed);
    speed(round.growth.first()) / speed(round.growth.last())
}

fn peak(round: &Round) -> f64 {
    f64::from(u32::try_from(round.peak_megabytes).unwrap_or(u32::MAX))
}

pub(super) fn table(size: &Size, rounds: &[Round]) -> String {
    let mut text = String::new();
    let mut row = |what: &str, reach: &str, digits: usize, figure: &dyn Fn(&Round) -> f64| {
        let (least, median, most) = spread(rounds, figure);
        // Writing to memory cannot fail.
        let _written =
            writeln!(text, "| {what} | {median:.digits$} | {least:.digits$} | {most:.digits$} | {reach} |");
    };
    row("the sandbox alone, orders/s", "", 0, &|it| it.sandbox);
    row(&format!("{RAW}, orders/s"), "", 0, &|it| it.raw);
    row(&format!("first sync of {} orders, orders/s", size.orders), "≥ 5,000", 0, &|it| it.sync);
    row("ratio", "≥ 0.4", 2, &|it| it.sync / it.raw);
    row("the service's CPU meanwhile, cores", "", 2, &|it| it.cores);
    for (place, part) in ["¼", "½", "¾", "all"].into_iter().enumerate() {
        row(&format!("memory when {part} was read, MB"), "", 0, &|it| {
            it.quarters.get(place).map_or(f64::NAN, |at| f64::from(u32::try_from(*at).unwrap_or(u32::MAX)))
        });
    }
    row("memory at most, MB", "≤ 100", 0, &peak);
    row("event shown → stored at 50 events/s, ms, p50", "", 0, &|it| it.shown.0);
    row("event shown → stored at 50 events/s, ms, p99", "≤ 300", 0, &|it| it.shown.1);
    row("event written → stored, looked at each second, ms, p99", "", 0, &|it| it.written.1);
    row(&format!("of {} accounts polled within a minute", size.accounts), "all", 0, &|it| {
        f64::from(it.polled)
    });
    row("the service's CPU meanwhile, cores", "≤ 0.5", 2, &|it| it.polling_cores);
    let stages = rounds.first().map_or(&[][..], |round| round.growth.as_slice());
    for (place, (stored, _)) in stages.iter().enumerate() {
        row(&format!("first sync of 10,000 with {stored} stored, orders/s"), "", 0, &|it| {
            it.growth.get(place).map_or(f64::NAN, |(_, speed)| *speed)
        });
    }
    row("slower over that range", "≤ 1.5", 2, &growth);
    format!("| what | median | least | most | reach |\n|---|---|---|---|---|\n{text}")
}

/// What was not reached, of the medians.
pub(super) fn missed(size: &Size, rounds: &[Round]) -> Vec<&'static str> {
    let median = |figure: &dyn Fn(&Round) -> f64| spread(rounds, figure).1;
    let reached = [
        ("ratio", median(&|it| it.sync / it.raw) >= RATIO),
        ("orders a second", median(&|it| it.sync) >= PER_SECOND),
        ("memory", median(&peak) <= MEGABYTES),
        ("delay of events", median(&|it| it.shown.1) <= DELAY),
        ("accounts polled", median(&|it| f64::from(it.polled)) >= f64::from(size.accounts)),
        ("CPU of polling", median(&|it| it.polling_cores) <= CORES),
        ("growth", median(&growth) <= GROWTH),
        ("a sandbox that is faster than the service", median(&|it| it.sandbox / it.sync) > 1.0),
    ];
    reached.into_iter().filter(|(_, is_reached)| !is_reached).map(|(what, _)| what).collect()
}
