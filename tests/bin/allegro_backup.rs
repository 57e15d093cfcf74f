//! allegro-backup, for tests in which services work together.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run::<allegro_backup::AllegroBackup>()
}
