//! Commands beside those every service has.

mod export;
mod import;
mod moment;
mod progress;
mod sync;
mod verify;

use chassis::Commands;
use runtime::Settings;

use crate::config::Config;

/// Adds them to the command line.
pub(crate) fn add(commands: &mut Commands<Settings<Config>>) {
    commands.add("sync", sync::run);
    commands.add("verify", verify::run);
    commands.add("export", export::run);
    commands.add("import", import::run);
}
