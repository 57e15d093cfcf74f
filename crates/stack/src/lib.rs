//! Zaplecze on one machine: private servers, the sandbox and the services, for `xtask` and `lab`.
//!
//! Blocking code with few dependencies, so that it builds in seconds. The servers that it starts are private: they have
//! their own data folder and free ports, listen on loopback only, and end with the command for any reason (see
//! [`reaper`]).

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "part of commands, which print to their user")]
#![expect(
    clippy::missing_errors_doc,
    reason = "every error is a text for the user of the command; no caller distinguishes them"
)]

pub mod build;
mod database;
pub mod holder;
pub mod process;
mod programs;
mod progress;
pub mod reaper;
pub mod servers;
mod services;
mod whole;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

pub use database::{database_of, psql};
pub use services::{SERVICES, Service};
pub use whole::Stack;

/// The root of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The exit code of a command. Prints its error if it failed.
pub fn exit_code(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whether a GET of this URL succeeds.
pub fn answers(url: &str) -> bool {
    ureq::get(url).call().is_ok_and(|answer| answer.status().is_success())
}

/// The folder of this checkout's stack: its data, logs and `env`.
pub fn folder() -> PathBuf {
    root().join("target").join("stack")
}
