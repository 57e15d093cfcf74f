//! Commands beside those every service has.

mod export;
mod import;
mod moment;
mod progress;
mod sync;
mod verify;

use chassis::Commands;
use pg::RotateKeys;
use pg::sealed::Keyring;

use crate::config::Config;
use crate::store;

/// Adds them to the command line.
pub(crate) fn add(commands: &mut Commands<Config>) {
    commands.add("sync", sync::run);
    commands.add("verify", verify::run);
    commands.add("export", export::run);
    commands.add("import", import::run);
    commands.add("rotate-keys", async |config: Config, rotate: RotateKeys| {
        let keyring = Keyring::new(config.encryption.into_keys())?;
        Ok(rotate.run(&config.database.url, &keyring, &store::SEALED).await?)
    });
}
