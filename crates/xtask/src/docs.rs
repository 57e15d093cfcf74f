//! `cargo xtask docs`: the documents that are made of the code.

mod settings;

use std::process::Command;

use anyhow::Result;

use crate::{process, root};

/// Writes the documents, or with `check` fails when one is not what the code says.
///
/// The generator of most is an example of `domain`: what it writes is made of that crate alone, and it keeps this one
/// free of ours.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "domain", "--example", "documents", "--"]);
    if check {
        command.arg("--check");
    }
    process::run(command.current_dir(root()))?;
    settings::document(check)
}
