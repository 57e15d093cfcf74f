//! The sandbox as a program.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use sandbox::{Sandbox, Settings};

#[derive(Parser)]
#[command(name = "zaplecze-sandbox", version, about = "A local Allegro for trying things out")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers until it is told to end (SIGTERM, Ctrl-C).
    Serve {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8100")]
        listen: SocketAddr,
        /// The application's client id.
        #[arg(long, default_value = "sandbox")]
        client_id: String,
        /// The application's client secret.
        #[arg(long, default_value = "sandbox-secret")]
        client_secret: String,
        /// Approve every authorization at once, as the first seller.
        #[arg(long)]
        auto_approve: bool,
        /// Seconds between two polls of a device code.
        #[arg(long, default_value_t = 5)]
        device_interval: u64,
        /// How long an access token lives, in seconds.
        #[arg(long, default_value_t = 43_199)]
        access_token_seconds: u64,
        /// How long a used refresh token still works, in seconds.
        #[arg(long, default_value_t = 60)]
        refresh_grace_seconds: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let Command::Serve {
        listen,
        client_id,
        client_secret,
        auto_approve,
        device_interval,
        access_token_seconds,
        refresh_grace_seconds,
    } = Arguments::parse().command;
    let sandbox = Sandbox::start(Settings {
        listen,
        client_id,
        client_secret,
        auto_approve,
        device_interval,
        access_token_seconds,
        refresh_grace_seconds,
    })?;
    #[expect(clippy::print_stdout, reason = "the one line a program that starts it waits for")]
    {
        println!("listening on {}", sandbox.url());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = term.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(())
    })
}
