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
    /// Bring the database schema up to date and end
    Migrate,
    /// Ask the service on this machine whether it is ready: exit 0 or 1
    HealthCheck,
    /// About the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document
    Openapi,
    /// About credentials
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// What this process does
    #[arg(long, value_enum, value_delimiter = ',', default_value = "api,worker,scheduler")]
    pub(crate) role: Vec<Role>,
    /// Only tasks of queues that match one of these patterns; `*` stands for anything, e.g. `sync_*`
    #[arg(long, value_delimiter = ',', default_value = "*")]
    pub(crate) queues: Vec<String>,
    /// Bring the database schema up to date first
    #[arg(long)]
    pub(crate) migrate: bool,
    /// Let anybody in, on the loopback interface only; for trying out
    #[arg(long)]
    pub(crate) insecure_local: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings in effect, secrets masked; exit 2 if any is wrong
    Check {
        /// List every setting with type, default and meaning instead
        #[arg(long)]
        list: bool,
        /// The list as JSON
        #[arg(long, requires = "list")]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a token signed with AUTH_JWT_SECRET
    Issue(token::Claims),
}
