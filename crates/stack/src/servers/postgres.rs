//! A private Postgres.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{Uid, User, chown};

use super::Keeping;
use crate::process::{self, Server};
use crate::programs::Programs;
use crate::reaper::Reaper;

/// The superuser. Local connections are trusted: only this machine reaches the port.
const SUPERUSER: &str = "postgres";

/// The superuser's address.
pub(super) fn address(port: u16) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/postgres")
}

pub(super) fn start(
    programs: &Programs,
    folder: &Path,
    logs: &Path,
    port: u16,
    keeping: Keeping,
    reaper: &mut Reaper,
) -> Result<Server> {
    let owner = Owner::choose(folder)?;
    let data = owner.folder.join("data");
    process::run(
        owner
            .command(&programs.postgres.join("initdb"))
            .args(["-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-U", SUPERUSER, "-D"])
            .arg(&data),
    )?;
    let log = logs.join("postgres.log");
    let mut command = owner.command(&programs.postgres.join("postgres"));
    command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
    let sockets = format!("unix_socket_directories={}", owner.folder.display());
    let settings = ["listen_addresses=127.0.0.1", "max_connections=300", &sockets];
    let careless: &[&str] = match keeping {
        // The data of a test run is not needed afterwards.
        Keeping::Nothing => &["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
        // Benchmarks read the commit time of rows.
        Keeping::Everything => &["track_commit_timestamp=on"],
    };
    for setting in settings.iter().chain(careless) {
        command.args(["-c", setting]);
    }
    let mut server = Server::start("postgres", command, log, reaper)?;
    server.wait_until_ready(Duration::from_mins(1), || is_ready(programs, port))?;
    Ok(server)
}

/// Whether it answers queries.
pub(super) fn is_ready(programs: &Programs, port: u16) -> bool {
    let port = port.to_string();
    Command::new(programs.postgres.join("psql"))
        .args(["-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, "-d", "postgres", "-qAtc", "SELECT 1"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Postgres refuses to run as root: then another user runs it and owns its folder.
struct Owner {
    user: Option<User>,
    folder: PathBuf,
}

impl Owner {
    fn choose(folder: &Path) -> Result<Self> {
        if !Uid::effective().is_root() {
            std::fs::create_dir_all(folder)?;
            return Ok(Self { user: None, folder: folder.to_owned() });
        }
        let user = User::from_name("postgres")?
            .or(User::from_name("nobody")?)
            .context("Postgres refuses to run as root, and there is no user postgres or nobody to run it")?;
        std::fs::create_dir_all(folder)?;
        chown(folder, Some(user.uid), Some(user.gid))?;
        let owner = Self { user: Some(user), folder: folder.to_owned() };
        if owner.command(Path::new("test")).arg("-w").arg(folder).status()?.success() {
            return Ok(owner);
        }
        // The checkout is in a folder closed to others, such as root's home: the data is stored in the common folder.
        let name = folder.display().to_string().replace('/', "-");
        let folder = std::env::temp_dir().join(format!("zaplecze{name}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        chown(&folder, owner.user.as_ref().map(|user| user.uid), owner.user.as_ref().map(|user| user.gid))?;
        Ok(Self { folder, ..owner })
    }

    fn command(&self, program: &Path) -> Command {
        let Some(user) = &self.user else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid))
            .arg("--clear-groups")
            .arg(program)
            // The caller's folder may be closed to that user.
            .current_dir("/");
        command
    }
}
