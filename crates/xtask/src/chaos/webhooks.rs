//! webhook-dispatcher, two replicas of it, killed or stopped while it delivers: to healthy endpoints, one that hangs, one
//! that fails.

use std::process::ExitCode;

use anyhow::Result;

use crate::webhook_figures::Figures;

/// Ends the replicas in turn, as `case` says; the program that is run prints each promise, and fails when one is not kept.
pub(super) fn run(case: &str, times: u32) -> Result<ExitCode> {
    let counted = Figures::start()?.run(&[case, &times.to_string()])?;
    println!("{counted:#}");
    Ok(ExitCode::SUCCESS)
}
