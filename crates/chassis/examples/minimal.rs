//! The smallest service: one setting, one background task, answers to probes.
//!
//! `cargo run -p chassis --example minimal -- serve --insecure-local`

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use chassis::config::Reader;
use chassis::{Commands, Lifecycle, ServeContext, Service};
use domain::PermanentError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Minimal;

struct Config {
    /// How its task ends.
    end: String,
    /// In place of a database: available once this file exists.
    database: Option<String>,
}

/// Print how the task ends
#[derive(clap::Args)]
struct End {}

impl Service for Minimal {
    const NAME: &'static str = "minimal";
    const ABOUT: &'static str = "Does nothing, but properly";
    const DEFAULT_PORT: u16 = 8000;
    type Config = Config;

    fn read_config(reader: &mut Reader) -> Config {
        Config {
            database: reader.optional_text("MINIMAL_DATABASE", "A file that must be there before it starts."),
            end: reader.text("MINIMAL_END", "with the stop", "How the task ends: ok, error, panic or never."),
        }
    }

    fn openapi() -> String {
        "{}\n".to_owned()
    }

    async fn migrate(config: &Config) -> anyhow::Result<()> {
        if let Some(path) = &config.database {
            let is_folder = tokio::fs::metadata(path).await?.is_dir();
            if is_folder {
                return Err(PermanentError::new("it is a folder").into());
            }
        }
        Ok(())
    }

    fn commands(commands: &mut Commands<Config>) {
        commands.add("end", async |config: Config, _none: End| {
            if config.end == "error" {
                bail!("the command gave up");
            }
            std::io::stdout().write_all(config.end.as_bytes())?;
            Ok(())
        });
    }

    async fn serve(config: Config, context: ServeContext) -> anyhow::Result<()> {
        let listener = TcpListener::bind((context.http.host, context.http.port)).await?;
        let address = listener.local_addr()?;
        let life = context.lifecycle;
        tracing::error_span!("request", correlation_id = "c-1", user_id = "anna", depth = 1).in_scope(|| {
            tracing::info!(%address, depth = 2, "started");
            tracing::warn!(end = config.end, access_token = "shown nowhere", token_id = 7, "working");
        });
        life.spawn("probes", answer_probes(listener, life.clone()));
        life.spawn("work", work(config.end.clone(), life.clone()));
        Ok(())
    }
}

async fn answer_probes(listener: TcpListener, life: Lifecycle) {
    let stop = life.stopping();
    while let Some(Ok((mut peer, _))) = stop.run_until_cancelled(listener.accept()).await {
        let mut head = [0; 1024];
        // A client that closes the connection needs no answer.
        let _ = peer.read(&mut head).await;
        let _ = peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}

async fn work(end: String, life: Lifecycle) -> anyhow::Result<()> {
    match end.as_str() {
        "ok" => return Ok(()),
        "error" => bail!("the task gave up"),
        "panic" => {
            let nothing: [u8; 0] = [];
            let [_, ..] = nothing.as_slice() else { unreachable!("the task broke") };
        }
        _ => {}
    }
    life.stopping().cancelled().await;
    if end == "never" {
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn main() -> ExitCode {
    chassis::run::<Minimal>()
}
