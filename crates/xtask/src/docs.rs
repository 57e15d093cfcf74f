//! `cargo xtask docs`: generates documents from the code and from the decision records.

mod adr_index;
mod settings;

use std::process::Command;

use anyhow::Result;

use stack::{process, root};

/// Writes the documents, or with `check` fails when one is out of date.
///
/// An example of `domain` generates the documents that need only that crate, so that xtask depends on no crate of ours.
pub(crate) fn run(check: bool) -> Result<()> {
    adr_index::document(check)?;
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "domain", "--example", "documents", "--"]);
    if check {
        command.arg("--check");
    }
    process::run(command.current_dir(root()))?;
    settings::document(check)
}
