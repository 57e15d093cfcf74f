//! A private Redis without persistence.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::Server;
use crate::programs::Programs;
use crate::reaper::Reaper;

pub(super) fn start(
    programs: &Programs,
    folder: &Path,
    logs: &Path,
    port: u16,
    reaper: &mut Reaper,
) -> Result<Server> {
    std::fs::create_dir_all(folder)?;
    let log = logs.join("redis.log");
    let mut command = Command::new(programs.redis.join("redis-server"));
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .args(["--maxmemory-policy", "noeviction", "--dir"])
        .arg(folder);
    let mut server = Server::start("redis", command, log, reaper)?;
    server.wait_until_ready(Duration::from_secs(30), || is_ready(port))?;
    Ok(server)
}

pub(super) fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut reply = [0; 7];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut reply).is_ok() && reply == *b"+PONG\r\n"
}
