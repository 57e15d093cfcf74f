//! Kills or stops two replicas of webhook-dispatcher in turn while they deliver to healthy endpoints, one that hangs
//! and one that fails.

use std::process::ExitCode;

use anyhow::Result;

use crate::webhook_figures::Figures;

/// Kills or stops the replicas in turn, by `case`. The program prints each guarantee and fails when one is broken.
pub(super) fn run(case: &str, times: u32) -> Result<ExitCode> {
    let counted = Figures::start()?.run(&[case, &times.to_string()])?;
    println!("{counted:#}");
    Ok(ExitCode::SUCCESS)
}
