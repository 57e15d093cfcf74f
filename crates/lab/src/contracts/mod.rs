//! `cargo xtask contracts`: verifies our output with programs of others.

mod api;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use stack::{process, root};

use crate::tests;

/// The verifiers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Name {
    /// schemathesis from PyPI: generates requests from the services' OpenAPI documents and checks the answers.
    Api,
    /// The public verifiers of Standard Webhooks from crates.io, PyPI and npm, and the files our documents give to receivers,
    /// of webhooks the service sends.
    Webhooks,
}

/// The verifiers' own sources, and the files that our documents give to receivers.
const FILES: [&str; 6] = [
    "docs/guides/verify-webhooks/verify_v1a.mjs",
    "docs/guides/verify-webhooks/verify_v1a.py",
    "tests/contracts/webhooks/package.json",
    "tests/contracts/webhooks/requirements.txt",
    "tests/contracts/webhooks/verify.mjs",
    "tests/contracts/webhooks/verify.py",
];

/// Limits of an API test.
pub(crate) struct Bounds {
    /// Generated requests per operation.
    pub(crate) examples: u32,
    /// Seconds per service.
    pub(crate) seconds: u32,
}

/// Runs the verifiers. Fails when one of them reports an error.
pub(crate) fn run(name: Name, bounds: &Bounds) -> Result<ExitCode> {
    match name {
        Name::Api => api::run(bounds),
        Name::Webhooks => webhooks(),
    }
}

/// Installs the libraries in a folder and runs the service's own test with them.
fn webhooks() -> Result<ExitCode> {
    let folder = prepare("webhooks", &FILES)?;
    install_python(&folder)?;
    let quiet = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"];
    install(&folder, "npm", &quiet, "nodejs npm")?;
    let folder = folder.to_string_lossy().into_owned();
    let only = ["-p", "webhook-dispatcher", "verifiers::"];
    tests::run(&only, &[("WEBHOOK_VERIFIERS", &folder)])
}

/// Copies files of the checkout to a folder of the contract's own, and returns the folder.
fn prepare(name: &str, files: &[&str]) -> Result<PathBuf> {
    let folder = root().join("target/contracts").join(name);
    fs::create_dir_all(&folder)?;
    for file in files {
        let from = root().join(file);
        let name = from.file_name().context("a file without a name")?;
        fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    println!("installing the libraries in {}", folder.display());
    Ok(folder)
}

/// Creates a Python virtual environment in the folder, with the packages of its `requirements.txt`.
fn install_python(folder: &Path) -> Result<()> {
    install(folder, "python3", &["-m", "venv", "--clear", "python"], "python3 python3-venv")?;
    let pip = folder.join("python/bin/pip");
    let packages = ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
    install(folder, &pip.to_string_lossy(), &packages, "python3-pip")
}

/// Runs one step in the folder. If its program is missing, the error names the Debian packages that contain it.
fn install(folder: &Path, program: &str, arguments: &[&str], packages: &str) -> Result<()> {
    let found = Command::new(program).arg("--version").output();
    if found.is_err() {
        bail!("{program} is missing on this machine; on Debian and Ubuntu: sudo apt-get install {packages}");
    }
    process::run(Command::new(program).args(arguments).current_dir(folder))
        .with_context(|| format!("`{program} {}` failed", arguments.join(" ")))?;
    Ok(())
}
