//! The sandbox program.

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};
use sandbox::{Sandbox, Settings};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

#[derive(Parser)]
#[command(name = "zaplecze-sandbox", version, about = "A local Allegro for trying things out")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is stopped (SIGTERM, Ctrl-C).
    Serve(Box<Serve>),
    /// Print every rule with its initial value.
    Rules,
}

#[derive(clap::Args)]
#[command(
    after_help = "Every rule of docs/guides/use-the-sandbox.md can be set with --rule, and changed while it runs with PATCH \
                        /_sandbox/rules; `zaplecze-sandbox rules` prints them all."
)]
struct Serve {
    /// Address to listen on; port 0 selects a free one.
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
    /// Lifetime of an access token in seconds.
    #[arg(long, default_value_t = 43_199)]
    access_token_seconds: u64,
    /// How long a used refresh token still works, in seconds.
    #[arg(long, default_value_t = 60)]
    refresh_grace_seconds: u64,
    /// Requests per minute before the application is blocked for a minute; 0 for no limit.
    #[arg(long, default_value_t = 9000)]
    requests_per_minute: u64,
    /// Reject requests whose User-Agent is not `Name/1.2.3 (+https://…)`.
    #[arg(long)]
    check_user_agent: bool,
    /// Share of the events that are written twice, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    duplicate_rate: f64,
    /// Share of the events that are written after the next one, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    disorder_rate: f64,
    /// Share of the READY_FOR_PROCESSING events that are missing for hours, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    missing_rate: f64,
    /// Seed of all random values; a different one each time by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Initial time of its clock (RFC 3339); the system's time by default.
    #[arg(long, value_parser = moment)]
    start: Option<OffsetDateTime>,
    /// Any other rule, for example journal.delay_rate=0.1; may be given several times.
    #[arg(long = "rule", value_name = "GROUP.NAME=VALUE", value_parser = rule)]
    rules: Vec<(String, String, Value)>,
}

fn moment(text: &str) -> Result<OffsetDateTime, domain::InstantError> {
    text.parse::<domain::Instant>().map(Into::into)
}

/// Parses `group.name=value`. A value that is not JSON is text.
fn rule(text: &str) -> Result<(String, String, Value), String> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
    let ((group, name), value) = parts.ok_or("must look like group.name=value")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_text| json!(value));
    Ok((group.to_owned(), name.to_owned(), value))
}

impl Serve {
    fn settings(self) -> Settings {
        let mut rules = json!({
            "api": { "check_user_agent": self.check_user_agent },
            "journal": {
                "duplicate_rate": self.duplicate_rate, "disorder_rate": self.disorder_rate,
                "missing_rate": self.missing_rate,
            },
            "limits": { "requests_per_minute": self.requests_per_minute },
        });
        for (group, name, value) in self.rules {
            if let Some(groups) = rules.as_object_mut() {
                let group = groups.entry(group).or_insert_with(|| Value::Object(Map::new()));
                if let Some(group) = group.as_object_mut() {
                    group.insert(name, value);
                }
            }
        }
        Settings {
            listen: self.listen,
            client_id: self.client_id,
            client_secret: self.client_secret,
            auto_approve: self.auto_approve,
            device_interval: self.device_interval,
            access_token_seconds: self.access_token_seconds,
            refresh_grace_seconds: self.refresh_grace_seconds,
            start: self.start,
            seed: self.seed,
            rules,
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line talks to its user")]
fn main() -> anyhow::Result<()> {
    let settings = match Arguments::parse().command {
        Command::Serve(serve) => serve.settings(),
        Command::Rules => {
            println!("{:#}", sandbox::rules());
            return Ok(());
        }
    };
    let sandbox = Sandbox::start(settings).context("the sandbox does not start")?;
    // A program that starts the sandbox waits for this line.
    println!("listening on {}", sandbox.url());
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
