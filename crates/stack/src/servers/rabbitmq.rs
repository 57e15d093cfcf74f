//! A private RabbitMQ, with its own port mapper of Erlang.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::Server;
use crate::programs::Programs;
use crate::reaper::Reaper;

pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

/// Starts the broker, which needs a while to be ready, and its port mapper.
pub(super) fn start(
    programs: &Programs,
    folder: &Path,
    logs: &Path,
    ports: &Ports,
    reaper: &mut Reaper,
) -> Result<[Server; 2]> {
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
    // A separate port mapper in the foreground: RabbitMQ would start one that remains as a daemon.
    let mut epmd = Command::new(&programs.epmd);
    epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
    let epmd = Server::start("epmd", epmd, logs.join("epmd.log"), reaper)?;

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
        // Its schedulers share the cores with other processes: idle ones must not spin.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
        )
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    let server = Server::start("rabbitmq", command, logs.join("rabbitmq.log"), reaper)?;
    Ok([server, epmd])
}

/// Whether the management interface answers, which starts last.
pub(super) fn is_ready(management: u16) -> bool {
    let url = format!("http://127.0.0.1:{management}/api/overview");
    // "guest:guest" in base64. RabbitMQ accepts this user from loopback only.
    ureq::get(&url).header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").call().is_ok()
}
