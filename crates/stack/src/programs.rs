//! Finds the server programs, and installs missing ones where possible.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::Uid;

/// A server that we start ourselves.
struct Needed {
    /// Its usual name.
    name: &'static str,
    /// A file that exists when it is installed.
    program: &'static str,
    /// Folders in addition to PATH; a `*` matches any one folder name.
    folders: &'static [&'static str],
    /// Its package on Debian and Ubuntu.
    debian: &'static str,
    /// Its formula in Homebrew.
    homebrew: &'static str,
}

const POSTGRES: Needed = Needed {
    name: "PostgreSQL",
    program: "initdb",
    folders: &[
        "/usr/lib/postgresql/*/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
    ],
    debian: "postgresql",
    homebrew: "postgresql@16",
};
const REDIS: Needed = Needed {
    name: "Redis",
    program: "redis-server",
    folders: &["/opt/homebrew/bin"],
    debian: "redis-server",
    homebrew: "redis",
};
const RABBITMQ: Needed = Needed {
    name: "RabbitMQ",
    // Not the one in /usr/sbin, which changes user.
    program: "rabbitmq-server",
    folders: &["/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"],
    debian: "rabbitmq-server",
    homebrew: "rabbitmq",
};

/// The paths of the programs.
pub(crate) struct Programs {
    /// The folder with `initdb`, `postgres` and `psql`.
    pub(crate) postgres: PathBuf,
    /// The folder with `redis-server`.
    pub(crate) redis: PathBuf,
    /// The folder with the plain `rabbitmq-server` script.
    pub(crate) rabbitmq: PathBuf,
    /// Erlang's port mapper.
    pub(crate) epmd: PathBuf,
}

/// Finds all programs; installs what is missing as root, or with password-less sudo, on Debian and Ubuntu.
pub(crate) fn find() -> Result<Programs> {
    let missing: Vec<&Needed> =
        [&POSTGRES, &REDIS, &RABBITMQ].into_iter().filter(|needed| folder_of(needed).is_none()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let found = |needed: &Needed| match folder_of(needed) {
        Some(folder) => Ok(folder),
        None => bail!("{} is still missing after its installation", needed.name),
    };
    let Some(epmd) = search("epmd", &["/usr/lib/erlang/erts-*/bin", "/opt/homebrew/opt/erlang/bin"]) else {
        bail!("Erlang's epmd is missing; it comes with RabbitMQ");
    };
    Ok(Programs {
        postgres: found(&POSTGRES)?,
        redis: found(&REDIS)?,
        rabbitmq: found(&RABBITMQ)?,
        epmd: epmd.join("epmd"),
    })
}

fn install(missing: &[&Needed]) -> Result<()> {
    let names: Vec<&str> = missing.iter().map(|needed| needed.name).collect();
    let debian: Vec<&str> = missing.iter().map(|needed| needed.debian).collect();
    let homebrew: Vec<&str> = missing.iter().map(|needed| needed.homebrew).collect();
    let prefix: &[&str] = if Uid::effective().is_root() { &[] } else { &["sudo", "-n"] };
    let allowed = prefix.is_empty() || succeeds(Command::new("sudo").args(["-n", "true"]));
    if !Path::new("/usr/bin/apt-get").exists() || !allowed {
        bail!(
            "missing on this machine: {}\n  Debian, Ubuntu: sudo apt-get install --no-install-recommends {}\n  \
             macOS: brew install {}\nor set DATABASE_URL, REDIS_URL, AMQP_URL and AMQP_MANAGEMENT_URL to servers of your own",
            names.join(", "),
            debian.join(" "),
            homebrew.join(" "),
        );
    }
    println!("missing: {}; installing with apt-get: {}", names.join(", "), debian.join(" "));
    // RUNLEVEL=1 keeps Debian's scripts from starting system services: ours are private.
    let apt = |arguments: &[&str]| {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq"]);
        words.extend(arguments);
        let (program, rest) = words.split_first().unwrap_or((&"false", &[]));
        succeeds(Command::new(program).args(rest).stdout(std::process::Stdio::null()))
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&debian);
    if !apt(&["update"]) || !apt(&arguments) {
        bail!("apt-get could not install {}; try it by hand", debian.join(" "));
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

fn folder_of(needed: &Needed) -> Option<PathBuf> {
    search(needed.program, needed.folders)
}

/// The folder that contains a program: the named folders first (newest version first), then PATH.
fn search(program: &str, folders: &[&str]) -> Option<PathBuf> {
    let named = folders.iter().flat_map(|pattern| expand(pattern));
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.chain(std::env::split_paths(&path)).find(|folder| folder.join(program).is_file())
}

/// Replaces the folder name with a `*` by the existing ones, the last in alphabetical order first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let rest = after.trim_start_matches('/');
    let mut found: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(rest))
        .collect();
    found.sort();
    found.reverse();
    found
}
