//! `zaplecze-allegro-backup`

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::run::<allegro_backup::AllegroBackup>()
}
