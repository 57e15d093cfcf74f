//! webhook-dispatcher, two replicas of it, killed while it delivers: to healthy endpoints, one that hangs, one that fails.

use std::process::ExitCode;

use anyhow::Result;

use crate::webhook_figures::Figures;

/// Kills the replicas in turn; the program that is run tells of each promise, and fails when one is not kept.
pub(super) fn run(kills: u32) -> Result<ExitCode> {
    let counted = Figures::start()?.run(&["chaos", &kills.to_string()])?;
    println!("{counted:#}");
    Ok(ExitCode::SUCCESS)
}
