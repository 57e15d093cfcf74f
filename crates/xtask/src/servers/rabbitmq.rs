//! A private RabbitMQ, with Erlang's port mapper of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Result;

use crate::process;
use crate::programs::Programs;
use crate::reaper::Reaper;

pub(crate) struct Ports {
    pub(crate) amqp: u16,
    pub(crate) management: u16,
    pub(crate) distribution: u16,
    pub(crate) epmd: u16,
}

/// A broker that may not be ready yet.
pub(crate) struct Broker {
    server: Child,
    epmd: Child,
    log: PathBuf,
    management: u16,
}

pub(crate) fn start(
    programs: &Programs,
    folder: &Path,
    logs: &Path,
    ports: &Ports,
    reaper: &mut Reaper,
) -> Result<Broker> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("enabled_plugins"),
        "[rabbitmq_consistent_hash_exchange,rabbitmq_management].\n",
    )?;
    std::fs::write(
        folder.join("rabbitmq.conf"),
        format!(
            "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n\
             # A laptop's disk is fuller than a server's may be.\ndisk_free_limit.absolute = 100MB\n\
             log.console = true\nlog.file = false\n",
            ports.management
        ),
    )?;
    // A port mapper of our own, in the foreground: the one RabbitMQ would start stays behind as a daemon.
    let mut epmd = Command::new(&programs.epmd);
    epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
    let epmd = process::start(&mut epmd, &logs.join("epmd.log"), reaper)?;

    let log = logs.join("rabbitmq.log");
    let mut command = Command::new(programs.rabbitmq.join("rabbitmq-server"));
    command
        .env("HOME", folder)
        // The port makes the name unique among the checkouts of a machine.
        .env("RABBITMQ_NODENAME", format!("zaplecze-{}@localhost", ports.distribution))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", logs)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    let server = process::start(&mut command, &log, reaper)?;
    Ok(Broker { server, epmd, log, management: ports.management })
}

impl Broker {
    /// Waits for the management interface, which comes up last.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/api/overview", self.management);
        process::wait_until_ready("RabbitMQ", &mut self.server, &self.log, Duration::from_mins(2), || {
            // "guest:guest" in base64; RabbitMQ lets this user in from loopback only.
            ureq::get(&url).header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").call().is_ok()
        })
    }

    pub(crate) fn into_children(self) -> [Child; 2] {
        [self.server, self.epmd]
    }
}
