//! Prints the results of several rounds as a table, with the limits of their medians.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::page;

/// The limit of a median.
#[derive(Debug, Clone, Copy)]
pub(super) enum Threshold {
    AtLeast(f64),
    AtMost(f64),
}

/// A row of the table: its name, and its value in one round.
pub(super) struct Row<R> {
    what: String,
    digits: usize,
    figure: Box<dyn Fn(&R) -> f64>,
    threshold: Option<Threshold>,
}

impl<R> Row<R> {
    /// A row without a limit.
    pub(super) fn info(what: impl Into<String>, digits: usize, figure: impl Fn(&R) -> f64 + 'static) -> Self {
        Self { what: what.into(), digits, figure: Box::new(figure), threshold: None }
    }

    /// A row whose median has a limit.
    pub(super) fn checked(
        what: impl Into<String>,
        digits: usize,
        figure: impl Fn(&R) -> f64 + 'static,
        threshold: Threshold,
    ) -> Self {
        Self { threshold: Some(threshold), ..Self::info(what, digits, figure) }
    }
}

/// Runs this number of rounds, one after another.
pub(super) fn rounds<R>(count: usize, mut measure: impl FnMut() -> Result<R>) -> Result<Vec<R>> {
    let mut rounds = Vec::new();
    for round in 1..=count {
        println!("round {round} of {count}");
        rounds.push(measure()?);
    }
    Ok(rounds)
}

/// Prints the table, and stores it in docs/BENCHMARKS.md under `page`, if one is given.
///
/// # Errors
/// A median exceeds its limit.
pub(super) fn conclude<R>(rows: &[Row<R>], rounds: &[R], page: Option<&str>) -> Result<ExitCode> {
    let text = text(rows, rounds);
    println!("\n{text}");
    if let Some(name) = page {
        page::write(name, &text)?;
    }
    let missed = missed(rows, rounds);
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("missed: {}", missed.join(", "))
}

fn text<R>(rows: &[Row<R>], rounds: &[R]) -> String {
    let mut text = "| what | median | least | most | threshold |\n|---|---|---|---|---|\n".to_owned();
    for Row { what, digits, figure, threshold } in rows {
        let (least, median, most) = spread(rounds, figure);
        let threshold = match threshold {
            Some(Threshold::AtLeast(bound)) => format!("≥ {bound}"),
            Some(Threshold::AtMost(bound)) => format!("≤ {bound}"),
            None => String::new(),
        };
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "| {what} | {median:.digits$} | {least:.digits$} | {most:.digits$} | {threshold} |"
        );
    }
    text
}

/// The medians that exceed their limits. A median that is not a number exceeds every limit.
fn missed<'a, R>(rows: &'a [Row<R>], rounds: &[R]) -> Vec<&'a str> {
    let is_reached = |row: &&Row<R>| {
        let median = spread(rounds, &row.figure).1;
        match row.threshold {
            Some(Threshold::AtLeast(bound)) => median >= bound,
            Some(Threshold::AtMost(bound)) => median <= bound,
            None => true,
        }
    };
    rows.iter().filter(|row| !is_reached(row)).map(|row| row.what.as_str()).collect()
}

/// Minimum, median and maximum.
fn spread<R>(rounds: &[R], figure: impl Fn(&R) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::Threshold::{AtLeast, AtMost};
    use super::{missed, text};

    type Row = super::Row<f64>;

    #[test]
    fn medians_that_exceed_their_limits_are_reported() {
        let rows = [
            Row::info("speed", 0, |it| *it),
            Row::checked("ratio", 1, |it| it / 10.0, AtLeast(0.2)),
            Row::checked("delay", 1, |it| it / 10.0, AtMost(0.15)),
            Row::checked("nothing", 0, |_| f64::NAN, AtMost(1.0)),
        ];
        let rounds = [3.0, 1.0, 2.0];
        assert_eq!(missed(&rows, &rounds), ["delay", "nothing"]);
        let text = text(&rows, &rounds);
        assert!(text.contains("| speed | 2 | 1 | 3 |  |\n| ratio | 0.2 | 0.1 | 0.3 | ≥ 0.2 |\n"), "{text}");
    }
}
