//! `allegro-backup sync`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use ::domain::{TaskId, TokenId, UserId};
use ::tasks::{Status, TaskRecord};
use anyhow::{Context, bail};
use chassis::Signals;
use clap::Args;
use runtime::Settings;
use serde_json::Value;
use time::OffsetDateTime;

use super::moment::moment;
use super::progress::Shown;
use crate::app::syncs::{self, Asker, OnDuplicate, Wanted};
use crate::config::Config;
use crate::state::State;
use crate::store::tokens::{self, Account};

/// How often it is looked how far a task has come.
const LOOK: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
The running service reads the orders; this command starts the task, waits and prints its progress. After Ctrl-C the task
continues in the service: the command prints its id, and how to follow and stop it. The exit code is 0 when every account was
read to the end.

Examples:
  sync --user sklep-zielony                                    as far back as Allegro lists: twelve months
  sync --user sklep-zielony --from 2026-11-01 --to 2026-11-08  a week
  sync --user sklep-zielony --full                             everything again, with what the journal still holds";

/// Have the running service read a user's orders from Allegro, and wait for it
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The user whose accounts are meant
    #[arg(long, value_parser = UserId::parse)]
    user: UserId,
    /// Only this account (its id); all of the user's unless given
    #[arg(long, value_name = "ID")]
    token: Option<TokenId>,
    /// Orders bought from this day or moment on, e.g. 2026-11-01 or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Orders bought until this day or moment
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    to: Option<OffsetDateTime>,
    /// The whole list, and what Allegro's journal still holds and we have not
    #[arg(long, conflicts_with_all = ["from", "to"])]
    full: bool,
}

pub(super) async fn run(settings: Settings<Config>, arguments: Arguments) -> anyhow::Result<()> {
    let state = State::open(settings)?;
    let Arguments { user, token, from, to, full } = arguments;
    let mut conn = state.pool.get().await?;
    let mut accounts = tokens::list(&mut conn, Some(&user)).await?;
    accounts.retain(|account| token.is_none_or(|wanted| wanted == account.id()));
    if accounts.is_empty() {
        bail!("the user {:?} has no such connected account", &*user);
    }
    let wanted = Wanted { from, to, full, on_duplicate: OnDuplicate::Update };
    if let Some(fault) = wanted.faults(state.now()).first() {
        bail!("--{} {}", fault.field, fault.text);
    }
    let asker = Asker { subject: "command", correlation_id: &state.ids.next_id().to_string() };
    let mut signals = Signals::install()?;
    let (mut asked_for, mut failed) = (VecDeque::new(), 0);
    for account in &accounts {
        if account.needs_reauthorization {
            let login = &account.allegro_login;
            writeln!(
                io::stderr(),
                "{login}: Allegro no longer takes its tokens; its owner must connect it again"
            )?;
            failed += 1;
            continue;
        }
        let task_id = syncs::start(&mut conn, &state, account, asker, wanted).await?;
        writeln!(io::stderr(), "{}: asked for, task {task_id}", account.allegro_login)?;
        asked_for.push_back((account, task_id));
    }
    drop(conn);
    while let Some((account, task_id)) = asked_for.front() {
        let ended = tokio::select! {
            ended = wait(&state, account, *task_id) => ended,
            signal = signals.next() => return leave(&asked_for, signal),
        };
        if let Err(error) = ended {
            writeln!(io::stderr(), "{error:#}")?;
            failed += 1;
        }
        asked_for.pop_front();
    }
    if failed > 0 {
        bail!("{failed} of {} accounts were not read to the end", accounts.len());
    }
    Ok(())
}

/// Prints the tasks that the service continues.
fn leave(tasks: &VecDeque<(&Account, TaskId)>, signal: &str) -> anyhow::Result<()> {
    for (account, task_id) in tasks {
        writeln!(
            io::stderr(),
            "{}: task {task_id} continues in the service; follow it with GET /api/v1/sync/tasks/{task_id}, stop it with \
             POST /api/v1/sync/tasks/{task_id}/stop",
            account.allegro_login
        )?;
    }
    bail!("ended by {signal}; tasks left: {}", tasks.len())
}

/// Waits for a task's end and shows its progress.
async fn wait(state: &State, account: &Account, task_id: TaskId) -> anyhow::Result<()> {
    let mut shown = Shown::new(&account.allegro_login)?;
    loop {
        let task = ::tasks::find(&mut *state.pool.get().await?, task_id).await?;
        let task = task.context("the task is gone")?;
        let (current, total) = task.progress.as_ref().map_or((0, 0), |it| (it.current, it.total));
        match task.status {
            Status::Succeeded => {
                shown.end(&outcome(&task.result.unwrap_or_default()))?;
                return Ok(());
            }
            Status::Failed | Status::Cancelled => {
                bail!("{}: {}", account.allegro_login, task.error.unwrap_or_else(|| task.status.to_string()));
            }
            Status::Queued | Status::Running | Status::Retrying => {
                shown.tell(current.unsigned_abs(), total.unsigned_abs(), waits(&task))?;
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// What the task waits for.
fn waits(task: &TaskRecord) -> Option<&str> {
    match task.status {
        Status::Queued => Some("waits for its turn (does the service run?)"),
        Status::Retrying => task.error.as_deref(),
        _ => None,
    }
}

/// The counts of a reading, as a sentence.
fn outcome(result: &Value) -> String {
    let count = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "{} orders read: {} new, {} changed, {} as they were, {} older than what is stored, {} set aside",
        count("orders"),
        count("added"),
        count("updated"),
        count("unchanged"),
        count("late"),
        count("failed")
    )
}
