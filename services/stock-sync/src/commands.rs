//! Commands in addition to those of every service.

use std::io::{self, Write};

use anyhow::bail;
use chassis::Commands;
use runtime::Settings;

use crate::StockSync;
use crate::app::reconcile::{check_ledger, in_words};
use crate::config::Config;
use crate::state::State;

/// Adds the commands.
pub(crate) fn add(commands: &mut Commands<Settings<Config>>) {
    commands.add("verify", async |settings: Settings<Config>, verify: VerifyCommand| {
        let (config, infra) = settings.open::<StockSync>()?;
        verify.run(&State::new(config, infra)?).await
    });
}

/// Compare each level with the sum of its movements
#[derive(Debug, Clone, clap::Args)]
struct VerifyCommand {}

impl VerifyCommand {
    /// Prints each level that differs from the sum of its movements.
    ///
    /// # Errors
    /// A level differs, or the database fails.
    async fn run(self, state: &State) -> anyhow::Result<()> {
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
