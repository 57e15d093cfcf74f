//! `dead …`: the commands of whoever looks after a service.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use time::format_description::well_known::Rfc3339;

use super::{DeadLetter, DeadLetters, Requeued, Which};
use crate::Broker;

/// Events set aside because they could not be applied
#[derive(Debug, Args)]
pub struct DeadCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, oldest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only those of this event type
        #[arg(long = "type")]
        kind: Option<String>,
    },
    /// Show one with everything that is known of it, as JSON
    Show {
        /// As `list` shows it
        id: String,
    },
    /// Bring them back to the queue, as if they came for the first time
    Requeue {
        #[command(flatten)]
        choice: Choice,
        /// Also those told so long ago that the inbox may have forgotten them: you have seen that they were not applied
        #[arg(long)]
        even_forgotten: bool,
    },
    /// Throw them away for good
    Drop {
        #[command(flatten)]
        choice: Choice,
        /// Really: needed for more than one
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// One, as `list` shows it
    id: Option<String>,
    /// Those of this event type
    #[arg(long = "type")]
    kind: Option<String>,
    /// All
    #[arg(long)]
    all: bool,
}

impl Choice {
    fn which(self) -> Which {
        match (self.id, self.kind) {
            (Some(id), _) => Which::One(id),
            (None, Some(kind)) => Which::OfType(kind),
            (None, None) => Which::All,
        }
    }
}

/// Why a command on dead letters did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// RabbitMQ's side.
    #[error(transparent)]
    Messaging(#[from] crate::Error),
    /// Nobody reads what is printed.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// There is no message of this id.
    #[error("no message {0} is set aside")]
    Unknown(String),
    /// What could be applied twice.
    #[error(
        "{0} left where they are: told so long ago that the inbox may have forgotten whether they were applied; see that they were not, and say --even-forgotten"
    )]
    Forgotten(usize),
    /// A sentence that must not be a slip of the hand.
    #[error("this throws away more than one message for good: say --yes")]
    NotSure,
}

impl DeadCommand {
    /// Does it on the dead queue of the service of this name, and prints what came of it to standard output.
    ///
    /// # Errors
    /// When the broker cannot be reached, or there is no such message.
    pub async fn run(self, broker: Broker, service: &str) -> Result<(), CommandError> {
        let letters = DeadLetters::new(broker, service);
        let mut out = io::stdout();
        match self.action {
            Action::List { limit, kind } => {
                let total = letters.count().await?;
                let found = letters.find(&kind.map_or(Which::All, Which::OfType), limit).await?;
                list(&mut out, &found)?;
                writeln!(out, "{} shown of {total}", found.len())?;
            }
            Action::Show { id } => {
                let found = letters.find(&Which::One(id.clone()), 1).await?;
                let letter = found.first().ok_or(CommandError::Unknown(id))?;
                writeln!(out, "{:#}", letter.to_json())?;
            }
            Action::Requeue { choice, even_forgotten } => {
                let which = choice.which();
                let Requeued { count, left } = letters.requeue(&which, even_forgotten).await?;
                if left > 0 {
                    writeln!(out, "{count} requeued")?;
                    return Err(CommandError::Forgotten(left));
                }
                done(&mut out, which, count, "requeued")?;
            }
            Action::Drop { choice, yes } => {
                let which = choice.which();
                if !yes && !matches!(which, Which::One(_)) {
                    return Err(CommandError::NotSure);
                }
                let count = letters.discard(&which).await?;
                done(&mut out, which, count, "dropped")?;
            }
        }
        Ok(())
    }
}

fn done(out: &mut impl Write, which: Which, count: usize, word: &str) -> Result<(), CommandError> {
    match (which, count) {
        (Which::One(id), 0) => Err(CommandError::Unknown(id)),
        _ => Ok(writeln!(out, "{count} {word}")?),
    }
}

/// One line each, columns separated by tabs.
fn list(out: &mut impl Write, letters: &[DeadLetter]) -> io::Result<()> {
    writeln!(out, "ID\tTYPE\tSUBJECT\tATTEMPTS\tSET ASIDE\tFROM\tREASON")?;
    for letter in letters {
        let at = letter.set_aside_at.and_then(|at| at.format(&Rfc3339).ok());
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

/// What strangers wrote must neither break the columns nor steer the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
