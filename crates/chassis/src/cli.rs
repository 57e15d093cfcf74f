//! The command line every binary has.

use clap::{Parser, Subcommand, ValueEnum};

use crate::token;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Api,
    Worker,
    Scheduler,
}

// Name and description are the service's own: no doc comment here, it would become the help.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Apply the database migrations and exit
    Migrate,
    /// Check whether the service on this machine is ready: exit code 0 or 1
    HealthCheck,
    /// Inspect the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document
    Openapi,
    /// Create credentials
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Roles of this process
    #[arg(long, value_enum, value_delimiter = ',', default_value = "api,worker,scheduler")]
    pub(crate) role: Vec<Role>,
    /// Run only tasks of queues that match one of these patterns; `*` matches any characters, e.g. `sync_*`
    #[arg(long, value_delimiter = ',', default_value = "*")]
    pub(crate) queues: Vec<String>,
    /// Apply the database migrations first
    #[arg(long)]
    pub(crate) migrate: bool,
    /// Accept requests without credentials, on the loopback interface only; for local trials
    #[arg(long)]
    pub(crate) insecure_local: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective settings with secrets masked; exit 2 if any is invalid
    Check {
        /// List every setting with type, default and meaning instead
        #[arg(long)]
        list: bool,
        /// Print the list as JSON
        #[arg(long, requires = "list")]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a token signed with AUTH_JWT_SECRET
    Issue(token::Claims),
}
