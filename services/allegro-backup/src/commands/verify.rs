//! `allegro-backup verify`.

use std::io::{self, Write};

use ::domain::TokenId;
use anyhow::{Context, bail};
use clap::Args;
use runtime::Settings;

use super::progress::Shown;
use crate::app::verify::{self, Difference};
use crate::config::Config;
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::tokens;

const WORDS: &str = "\
Each order that differs is a line on standard output, a word and its id:
  missing  Allegro has it, and it is not stored
  stale    it is stored with another content than Allegro's
  extra    it is stored, and Allegro has it no more

What differs is looked at once more by itself, so that what changes meanwhile is no difference. Nothing is written:
`sync --full` fetches what is missing or stale. The exit code is 0 when nothing differs.";

/// Read an account's list from Allegro again, and compare it with what is stored by id, revision and content
#[derive(Debug, Clone, Args)]
#[command(after_help = WORDS)]
pub(super) struct Arguments {
    /// The account (its id, as `GET /api/v1/tokens` lists it)
    #[arg(long, value_name = "ID")]
    token: TokenId,
}

pub(super) async fn run(settings: Settings<Config>, arguments: Arguments) -> anyhow::Result<()> {
    let state = State::open(settings)?;
    let account = tokens::find(&mut *state.pool.get().await?, arguments.token).await?;
    let account =
        account.filter(|account| account.is_active).context("there is no such connected account")?;
    let owner = Owner {
        token_id: arguments.token,
        user_id: account.user_id,
        allegro_seller_id: account.allegro_seller_id,
        connected_at: account.connected_at,
    };
    let mut shown = Shown::new(&account.allegro_login)?;
    let mut trouble = None;
    let found = verify::verify(&state, &owner, |done, total| {
        let done = u64::try_from(done).unwrap_or(u64::MAX);
        trouble = shown.tell(done, total.unsigned_abs(), None).err();
    })
    .await?;
    if let Some(error) = trouble {
        return Err(error.into());
    }
    let mut out = io::stdout().lock();
    for (difference, id) in &found.differences {
        writeln!(out, "{} {id}", word(*difference))?;
    }
    drop(out);
    let differ = found.differences.len();
    shown.end(&format!("{} orders compared, {differ} differ", found.compared))?;
    if differ > 0 {
        let count = |wanted| found.differences.iter().filter(|(difference, _)| *difference == wanted).count();
        bail!(
            "{} are missing, {} are stale, {} are extra",
            count(Difference::Missing),
            count(Difference::Stale),
            count(Difference::Extra)
        );
    }
    Ok(())
}

const fn word(difference: Difference) -> &'static str {
    match difference {
        Difference::Missing => "missing",
        Difference::Extra => "extra",
        Difference::Stale => "stale",
    }
}
