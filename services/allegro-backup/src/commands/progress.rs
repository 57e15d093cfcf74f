//! How far a command has come: a bar for a person at a terminal, a line now and then for a file.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where nobody looks at a terminal.
const LINE: Duration = Duration::from_secs(10);

/// A bar on standard error, when a person looks at it.
///
/// # Errors
/// When the template is none.
pub(super) fn bar(total: u64, template: &str) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(total).with_style(ProgressStyle::with_template(template)?.progress_chars("=> ")))
}

/// Orders of one account, counted.
pub(super) struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    told: Option<(Instant, String)>,
}

impl Shown {
    /// For the account of this name.
    ///
    /// # Errors
    /// None that is met.
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        let bar = if io::stderr().is_terminal() {
            Some(
                bar(0, "{prefix} [{bar:40}] {pos} of {len} orders, {per_sec}, {eta} left {msg}")?
                    .with_prefix(name.to_owned()),
            )
        } else {
            None
        };
        Ok(Self { name: name.to_owned(), bar, told: None })
    }

    /// So many of so many, and what is waited for, if anything is. What is waited for is told at once.
    ///
    /// # Errors
    /// When nobody can be told.
    pub(super) fn tell(&mut self, current: u64, total: u64, waits: Option<&str>) -> io::Result<()> {
        let waits = waits.unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(current);
            bar.set_message(waits.to_owned());
            return Ok(());
        }
        if self.told.as_ref().is_some_and(|(at, before)| *before == waits && at.elapsed() < LINE) {
            return Ok(());
        }
        let counted = match total {
            0 => "counting the orders".to_owned(),
            _ => format!("{current} of {total} orders"),
        };
        let said =
            [counted.as_str(), waits].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
        writeln!(io::stderr(), "{}: {said}", self.name)?;
        self.told = Some((Instant::now(), waits.to_owned()));
        Ok(())
    }

    /// What came of it, on standard output.
    ///
    /// # Errors
    /// When nobody can be told.
    pub(super) fn end(&self, text: &str) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        writeln!(io::stdout(), "{}: {text}", self.name)
    }
}
