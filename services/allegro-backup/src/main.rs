//! `zaplecze-allegro-backup`

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run::<allegro_backup::AllegroBackup>()
}
