//! What the service does, started or checked by hand.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use ::domain::{TaskId, TokenId};
use ::tasks::Status;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::syncs::{self, Asker, OnDuplicate, Wanted};
use crate::app::verify::{self, Difference};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::tokens::{self, Account};

/// How often it is looked how far a task has come.
const LOOK: Duration = Duration::from_millis(500);
/// Between two lines where nobody looks at a terminal.
const LINE: Duration = Duration::from_secs(10);

/// Has a user's orders read by the running service, and waits for it
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SyncCommand {
    /// The user whose accounts are meant
    #[arg(long)]
    user: String,
    /// Only this account
    #[arg(long)]
    token: Option<TokenId>,
    /// Orders bought from this moment on, e.g. 2026-11-01T00:00:00Z
    #[arg(long, value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Orders bought until this moment
    #[arg(long, value_parser = moment)]
    to: Option<OffsetDateTime>,
    /// The whole list, and what Allegro's journal still holds and we have not
    #[arg(long, conflicts_with_all = ["from", "to"])]
    full: bool,
}

/// Reads Allegro's list of an account again and compares it with what is stored
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VerifyCommand {
    /// The account
    #[arg(long)]
    token: TokenId,
}

fn moment(text: &str) -> Result<OffsetDateTime, time::error::Parse> {
    OffsetDateTime::parse(text, &Rfc3339)
}

impl SyncCommand {
    /// Asks for the reading and tells how it goes.
    ///
    /// # Errors
    /// When there is no such account, or the reading does not end well.
    pub(crate) async fn run(self, state: State) -> anyhow::Result<()> {
        let mut conn = state.pool.get().await?;
        let mut accounts = tokens::list(&mut conn, Some(&self.user)).await?;
        accounts.retain(|account| self.token.is_none_or(|wanted| wanted == account.id()));
        if accounts.is_empty() {
            bail!("the user has no such connected account");
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            bail!("--from is before --to");
        }
        let wanted =
            Wanted { from: self.from, to: self.to, full: self.full, on_duplicate: OnDuplicate::Update };
        let asker = Asker { subject: "command", correlation_id: &state.ids.next_id().to_string() };
        let mut task_ids = Vec::new();
        for account in &accounts {
            task_ids.push(syncs::start(&mut conn, &state, account, asker, wanted).await?);
        }
        drop(conn);
        for (account, task_id) in accounts.iter().zip(task_ids) {
            wait(&state, account, task_id).await?;
        }
        Ok(())
    }
}

/// Waits for a task's end and shows its progress.
async fn wait(state: &State, account: &Account, task_id: TaskId) -> anyhow::Result<()> {
    let mut shown = Shown::new(&account.allegro_login)?;
    loop {
        let task = ::tasks::find(&mut *state.pool.get().await?, task_id).await?;
        let task = task.context("the task is gone")?;
        let (current, total) = task.progress.as_ref().map_or((0, 0), |it| (it.current, it.total));
        shown.tell(current.unsigned_abs(), total.unsigned_abs(), task.status == Status::Queued)?;
        match task.status {
            Status::Succeeded => {
                let result = task.result.unwrap_or_default();
                return shown.end(&format!("{}: {result}", account.allegro_login));
            }
            Status::Failed | Status::Cancelled => {
                bail!("{}: {}", account.allegro_login, task.error.unwrap_or_else(|| task.status.to_string()));
            }
            Status::Queued | Status::Running | Status::Retrying => tokio::time::sleep(LOOK).await,
        }
    }
}

impl VerifyCommand {
    /// Compares and prints what differs.
    ///
    /// # Errors
    /// When something differs, or could not be compared.
    pub(crate) async fn run(self, state: State) -> anyhow::Result<()> {
        let account = tokens::find(&mut *state.pool.get().await?, self.token).await?;
        let account =
            account.filter(|account| account.is_active).context("there is no such connected account")?;
        let owner = Owner {
            token_id: self.token,
            user_id: account.user_id,
            allegro_seller_id: account.allegro_seller_id,
            connected_at: account.connected_at,
        };
        let mut shown = Shown::new(&account.allegro_login)?;
        let mut trouble = None;
        let found = verify::verify(&state, &owner, |done, total| {
            let done = u64::try_from(done).unwrap_or(u64::MAX);
            trouble = shown.tell(done, total.unsigned_abs(), false).err();
        })
        .await?;
        if let Some(error) = trouble {
            return Err(error);
        }
        let mut out = io::stdout().lock();
        for (difference, id) in &found.differences {
            let word = match difference {
                Difference::Missing => "missing",
                Difference::Extra => "extra",
                Difference::Stale => "stale",
            };
            writeln!(out, "{word} {id}")?;
        }
        drop(out);
        let differ = found.differences.len();
        shown.end(&format!("{} orders compared, {differ} differ", found.compared))?;
        if differ > 0 {
            bail!("{differ} orders are stored otherwise than Allegro has them");
        }
        Ok(())
    }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    told_at: Option<std::time::Instant>,
}

impl Shown {
    fn new(name: &str) -> anyhow::Result<Self> {
        let bar = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec} {eta}")?;
            Some(ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_message(name.to_owned()))
        } else {
            None
        };
        Ok(Self { name: name.to_owned(), bar, told_at: None })
    }

    fn tell(&mut self, current: u64, total: u64, waits: bool) -> anyhow::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(current);
        } else if self.told_at.is_none_or(|at| at.elapsed() >= LINE) {
            self.told_at = Some(std::time::Instant::now());
            let waits = if waits { " (waits for the service to begin)" } else { "" };
            writeln!(io::stderr(), "{}: {current} of {total} orders{waits}", self.name)?;
        }
        Ok(())
    }

    fn end(&self, text: &str) -> anyhow::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Ok(writeln!(io::stdout(), "{text}")?)
    }
}
