//! Commands beside those every service has.

use std::io::{self, Write};

use anyhow::bail;

use crate::app::reconcile::{check_ledger, in_words};
use crate::state::State;

/// Adds all movements up and compares the sums with the levels
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VerifyCommand {}

impl VerifyCommand {
    /// Prints what is wrong, a level a line.
    ///
    /// # Errors
    /// When a level is not the sum of its movements, so that the command fails; or the database's.
    pub(crate) async fn run(self, state: &State) -> anyhow::Result<()> {
        let checked = check_ledger(state).await?;
        let mut out = io::stdout().lock();
        for wrong in &checked.wrong {
            writeln!(out, "{}", in_words(wrong))?;
        }
        writeln!(
            out,
            "{} levels, {} are not the sum of their movements",
            checked.levels,
            checked.wrong.len()
        )?;
        if checked.wrong.is_empty() { Ok(()) } else { bail!("the ledger does not add up") }
    }
}
