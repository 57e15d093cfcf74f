//! Generates documents from the catalogue of events and the topology: the reference of events, the AsyncAPI document,
//! and RabbitMQ's definitions.
//!
//! `cargo xtask docs` runs it. It is part of this crate because this crate builds in seconds: it has no dependencies
//! for I/O.

mod asyncapi;
mod catalogue;
mod definitions;
mod markdown;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::catalogue::Catalogue;

/// Writes the documents. With `--check` it only names those that differ.
fn main() -> Result<ExitCode, Box<dyn Error>> {
    let is_check = std::env::args().any(|argument| argument == "--check");
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let catalogue = Catalogue::read(&root.join("crates/domain/tests/golden"))?;
    let documents = [
        ("docs/reference/EVENTS.md", markdown::write(&catalogue)),
        ("docs/reference/asyncapi.json", format!("{:#}\n", asyncapi::document(&catalogue)?)),
        ("deploy/rabbitmq/definitions.json", format!("{:#}\n", definitions::document())),
    ];
    let mut code = ExitCode::SUCCESS;
    for (path, text) in documents {
        let file = root.join(path);
        if std::fs::read_to_string(&file).is_ok_and(|before| before == text) {
            continue;
        }
        if is_check {
            #[expect(clippy::print_stderr, reason = "prints for its user")]
            {
                eprintln!("{path} is not what the code says; run `cargo xtask docs`");
            }
            code = ExitCode::FAILURE;
            continue;
        }
        file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(file, text)?;
    }
    Ok(code)
}
