//! `dead …`: the operator's commands for dead-lettered messages.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;

use super::{DeadLetter, DeadLetters, Requeued, Selection};
use crate::Broker;

/// Manage dead-lettered messages
#[derive(Debug, Args)]
pub struct DeadCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List messages, oldest first
    List {
        /// Maximum number of messages
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only messages of this event type
        #[arg(long = "type")]
        kind: Option<String>,
    },
    /// Show one message with its headers and body, as JSON
    Show {
        /// Id as shown by `list`
        id: String,
    },
    /// Return messages to the service's queue, with a new count of attempts
    Requeue {
        #[command(flatten)]
        choice: Choice,
        /// Include events older than the inbox retention, which may be applied twice: check first that they were not
        /// applied
        #[arg(long)]
        past_retention: bool,
    },
    /// Delete messages permanently
    Drop {
        #[command(flatten)]
        choice: Choice,
        /// Confirm when more than one message would be deleted
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Id as shown by `list`
    id: Option<String>,
    /// All messages of this event type
    #[arg(long = "type")]
    kind: Option<String>,
    /// All messages
    #[arg(long)]
    all: bool,
}

impl Choice {
    fn selection(self) -> Selection {
        match (self.id, self.kind) {
            (Some(id), _) => Selection::One(id),
            (None, Some(kind)) => Selection::OfType(kind),
            (None, None) => Selection::All,
        }
    }
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// RabbitMQ failed.
    #[error(transparent)]
    Messaging(#[from] crate::Error),
    /// Standard output is closed.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// No message has this id.
    #[error("no dead-lettered message has the id {0}")]
    Unknown(String),
    /// Messages that may be applied twice.
    #[error(
        "{0} not requeued: published before the inbox's retention period, so that they may already be applied; check that they were not, then repeat with --past-retention"
    )]
    PastRetention(usize),
    /// A confirmation is missing.
    #[error("this would delete more than one message permanently: confirm with --yes")]
    Unconfirmed,
}

impl DeadCommand {
    /// Runs the command on the dead queue of the named service, and prints the result to standard output.
    ///
    /// # Errors
    /// The broker cannot be reached, or no message has the id.
    pub async fn run(self, broker: Broker, service: &str) -> Result<(), CommandError> {
        let letters = DeadLetters::new(broker, service);
        let mut out = io::stdout();
        match self.action {
            Action::List { limit, kind } => {
                let total = letters.count().await?;
                let found = letters.find(&kind.map_or(Selection::All, Selection::OfType), limit).await?;
                list(&mut out, &found)?;
                writeln!(out, "{} shown of {total}", found.len())?;
            }
            Action::Show { id } => {
                let found = letters.find(&Selection::One(id.clone()), 1).await?;
                let letter = found.first().ok_or(CommandError::Unknown(id))?;
                writeln!(out, "{:#}", letter.to_json())?;
            }
            Action::Requeue { choice, past_retention } => {
                let selection = choice.selection();
                let Requeued { count, left } = letters.requeue(&selection, past_retention).await?;
                if left > 0 {
                    writeln!(out, "{count} requeued")?;
                    return Err(CommandError::PastRetention(left));
                }
                done(&mut out, selection, count, "requeued")?;
            }
            Action::Drop { choice, yes } => {
                let selection = choice.selection();
                if !yes && !matches!(selection, Selection::One(_)) {
                    return Err(CommandError::Unconfirmed);
                }
                let count = letters.discard(&selection).await?;
                done(&mut out, selection, count, "dropped")?;
            }
        }
        Ok(())
    }
}

fn done(out: &mut impl Write, selection: Selection, count: usize, word: &str) -> Result<(), CommandError> {
    match (selection, count) {
        (Selection::One(id), 0) => Err(CommandError::Unknown(id)),
        _ => Ok(writeln!(out, "{count} {word}")?),
    }
}

/// Prints one message per line, columns separated by tabs.
fn list(out: &mut impl Write, letters: &[DeadLetter]) -> io::Result<()> {
    writeln!(out, "ID\tTYPE\tSUBJECT\tATTEMPTS\tDEAD-LETTERED\tFROM\tREASON")?;
    for letter in letters {
        let at = letter.dead_lettered_at.and_then(|at| at.format(&Rfc3339).ok());
        let columns = [
            &letter.id,
            letter.kind.as_deref().unwrap_or("-"),
            letter.subject.as_deref().unwrap_or("-"),
            &letter.attempts.to_string(),
            at.as_deref().unwrap_or("-"),
            &letter.from,
            &letter.reason,
        ];
        writeln!(out, "{}", columns.map(one_line).join("\t"))?;
    }
    Ok(())
}

/// Text of foreign publishers must neither break the columns nor control the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
