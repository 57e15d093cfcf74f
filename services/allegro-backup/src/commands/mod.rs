//! Commands beside those every service has.

mod export;
mod import;
mod sync;

use chassis::Commands;
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Config;
pub(crate) use sync::{SyncCommand, VerifyCommand};

/// Adds them to the command line.
pub(crate) fn add(commands: &mut Commands<Config>) {
    commands.add("export", export::run);
    commands.add("import", import::run);
}

/// A bar on standard error, when a person looks at it.
fn bar(total: u64, template: &str) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::new(total).with_style(ProgressStyle::with_template(template)?))
}
