//! Progress of `cargo build`: crates built, time elapsed, time left.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, root};

/// Interval between updates of the line. On a terminal it replaces the previous one.
const ON_TERMINAL: Duration = Duration::from_secs(1);
const IN_LOG: Duration = Duration::from_secs(30);

/// A crate to build, weighted with seconds of CPU time: an estimate that is right on average (docs/BENCHMARKS.md).
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Work {
    crates: u32,
    seconds: f64,
}

impl Work {
    fn add(&mut self, kind: Kind) {
        self.crates += 1;
        self.seconds += match kind {
            Kind::Other => 1.0,
            Kind::Ours => 2.0,
            Kind::Service => 17.0,
        };
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A crate of others.
    Other,
    Ours,
    /// The library of a service, or its program.
    Service,
}

impl Kind {
    /// The kind of a package by its cargo id: only ours are in a folder of this checkout.
    fn of(package: &str) -> Self {
        match package {
            it if it.contains("/services/") => Self::Service,
            it if it.contains("/crates/") => Self::Ours,
            _ => Self::Other,
        }
    }
}

/// Shows the progress of a `cargo build` with these arguments until it ends. Its messages are JSON on standard output.
pub(crate) fn show(cargo: &mut Child, words: &[&str]) -> Result<()> {
    let output = BufReader::new(cargo.stdout.take().context("cargo has no output")?);
    let (sender, messages) = channel();
    spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut left = all(words)?;
    let mut built = Work::default();
    let is_terminal = std::io::stderr().is_terminal();
    let pause = if is_terminal { ON_TERMINAL } else { IN_LOG };
    let (started, mut shown) = (Instant::now(), Instant::now());
    loop {
        match messages.recv_timeout(ON_TERMINAL) {
            Ok(line) => count(&line, &mut built, &mut left),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if shown.elapsed() >= pause {
            shown = Instant::now();
            let end = if is_terminal { "\x1b[K\r" } else { "\n" };
            write!(std::io::stderr(), "{}{end}", line(built, left, started.elapsed()))?;
        }
    }
    if is_terminal {
        write!(std::io::stderr(), "\x1b[K")?;
    }
    Ok(())
}

/// The crates that the packages named by `words` need.
fn all(words: &[&str]) -> Result<Work> {
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--prefix", "none", "--edges", "normal,build", "--format", "{p}\t{f}"]).args(words);
    let tree = process::run(tree.current_dir(root()))?;
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let mut work = Work::default();
    for package in packages {
        let kind = Kind::of(package);
        work.add(kind);
        if matches!(kind, Kind::Service) {
            // Its program, in addition to its library.
            work.add(kind);
        }
    }
    Ok(work)
}

/// Moves the crate of a message from the remaining to the built ones. A crate that was built before is no work.
fn count(line: &str, built: &mut Work, left: &mut Work) {
    let Ok(message) = serde_json::from_str::<Value>(line) else { return };
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    if text("/reason") != Some("compiler-artifact") || text("/target/kind/0") == Some("custom-build") {
        return;
    }
    let mut done = Work::default();
    done.add(Kind::of(text("/package_id").unwrap_or_default()));
    left.crates = left.crates.saturating_sub(done.crates);
    left.seconds = (left.seconds - done.seconds).max(0.0);
    if message.get("fresh") != Some(&Value::Bool(true)) {
        built.crates += done.crates;
        built.seconds += done.seconds;
    }
}

fn line(built: Work, left: Work, elapsed: Duration) -> String {
    let all = built.crates + left.crates;
    let text = format!("building: {} of {all} crates, {}", built.crates, minutes(elapsed));
    // The first crates say little about the speed of this machine.
    if built.crates < 20 {
        return text;
    }
    let remaining = elapsed.mul_f64(left.seconds / built.seconds);
    format!("{text}, about {} left", minutes(remaining))
}

fn minutes(time: Duration) -> String {
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, Work, count, line};

    fn work(others: u32, services: u32) -> Work {
        let mut work = Work::default();
        (0..others).for_each(|_| work.add(Kind::Other));
        (0..services).for_each(|_| work.add(Kind::Service));
        work
    }

    #[test]
    fn a_fresh_crate_is_not_counted_as_built() {
        let (mut built, mut left) = (Work::default(), work(2, 1));
        for (id, fresh) in [("registry+x#a@1.0.0", true), ("path+file:///z/services/a#0.1.0", false)] {
            let message = format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"kind":["lib"]}},"fresh":{fresh}}}"#
            );
            count(&message, &mut built, &mut left);
        }
        assert_eq!(built, work(0, 1));
        assert_eq!(left.crates, 1);
    }

    #[test]
    fn the_time_left_follows_the_remaining_work() {
        let (built, left) = (work(50, 1), work(100, 2));
        let text = line(built, left, Duration::from_secs(65));
        assert_eq!(text, "building: 51 of 153 crates, 1 min 05 s, about 2 min 10 s left");
    }
}
