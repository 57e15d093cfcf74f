//! `allegro-backup import`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::{mem, slice};

use anyhow::{Context, bail};
use clap::Args;
use domain::{Chain, TokenId, UuidV7Source};
use pg::sealed::Keyring;
use runtime::Settings;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::progress::bar;
use crate::SCHEMA;
use crate::app::import::{self, Counts, Restored};
use crate::config::Config;
use crate::domain::archive::{AccountLine, Line, OrderLine, QuarantinedLine, Tally, Trailer, foreign_format};
use crate::store::tokens::TokenStoreError;

/// Orders in one transaction, at most.
const BATCH: usize = 200;
/// What a batch holds in memory, at most: an order has as many versions as it has.
const BATCH_BYTES: usize = 8 << 20;
/// No order with all its versions is longer than this.
const LONGEST_LINE: u64 = 256 << 20;
/// Lines that are told to be wrong one by one, at most; the others are counted.
const TOLD: usize = 100;
/// The byte order mark that editors on Windows write before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const EXAMPLES: &str = "\
It may run while the service does. An order that is newer here stays, flags of orders that are here stay, and nothing is told to
anybody. Lines that cannot be restored are reported, the others are restored, and the exit code is 1. The same holds for a
file whose trailer is missing or does not match its lines: import the complete file again.

Examples:
  import orders.ndjson
  zstd -dc everything.ndjson.zst | import -";

/// Restore an export (ndjson) into an empty or a living database; may be run again, whatever it died of
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The export; `-` is standard input
    file: PathBuf,
}

pub(super) async fn run(settings: Settings<Config>, arguments: Arguments) -> anyhow::Result<()> {
    let mut restoring = Restoring {
        pool: pg::Pool::new(&settings.platform.database.url, 1, "import")?,
        keyring: Keyring::new(settings.platform.encryption.into_keys())?,
        accounts: HashMap::new(),
        batch: Vec::new(),
        numbers: Vec::new(),
        of: HashSet::new(),
        account: None,
        bytes: 0,
        counts: Counts::default(),
        quarantined: 0,
        wrong: 0,
        tally: Tally::default(),
        end: End::Missing,
    };
    // A value sealed with a wrong key would be lost.
    let guard = restoring.pool.guard(&SCHEMA, &restoring.keyring).await?;
    // `rotate-keys` sees this process for as long as it seals, and no longer.
    let end = CancellationToken::new();
    let guarding = tokio::spawn(guard.run(end.clone()));
    let _ended_with_errors_too = end.clone().drop_guard();
    let is_stdin = arguments.file.as_os_str() == "-";
    let name = if is_stdin { "standard input".into() } else { arguments.file.to_string_lossy() };
    let (size, mut input): (u64, Box<dyn BufRead>) = if is_stdin {
        (0, Box::new(io::stdin().lock()))
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot open {name}"))?;
        (file.metadata()?.len(), Box::new(BufReader::new(file)))
    };
    let bar = bar(size, "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")?;
    let (mut line, mut number, mut is_empty) = (Vec::new(), 0, true);
    loop {
        line.clear();
        let length = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        number += 1;
        bar.inc(u64::try_from(length).unwrap_or_default());
        let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if is_empty && let Some(found) = foreign_format(text) {
            bail!("{name} is {found}");
        }
        is_empty = false;
        restoring.take(number, text).await?;
    }
    if is_empty {
        bail!("{name} is empty; even an export of no orders ends with a trailer");
    }
    restoring.write().await?;
    bar.finish_and_clear();
    end.cancel();
    guarding.await??;
    let Counts { added, updated, unchanged, late, versions } = restoring.counts;
    writeln!(
        io::stdout(),
        "{added} orders restored, {updated} brought up to date, {unchanged} were there, {late} were newer here; \
         {versions} earlier contents added; {} lines refused",
        restoring.wrong
    )?;
    if restoring.quarantined > 0 {
        writeln!(io::stdout(), "{} orders quarantined, as in the export", restoring.quarantined)?;
    }
    let mut faults = Vec::new();
    if restoring.wrong > 0 {
        faults.push(format!("{} lines could not be restored", restoring.wrong));
    }
    match restoring.end {
        End::Complete => {}
        End::Missing => faults.push(format!("{name} is incomplete: it does not end with a trailer, so import the complete file again")),
        End::Differs { expected, found } => faults.push(format!(
            "{name} is incomplete: its trailer counts {} orders with SHA-256 {}, the lines before it are {} orders with \
             SHA-256 {}, so import the complete file again",
            expected.orders, expected.sha256, found.orders, found.sha256
        )),
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(())
}

/// How a file ends.
enum End {
    /// With a trailer that matches the lines before it.
    Complete,
    /// Without a trailer.
    Missing,
    /// A trailer does not match the lines before it.
    Differs { expected: Trailer, found: Trailer },
}

/// A file being restored.
struct Restoring {
    pool: pg::Pool,
    keyring: Keyring,
    /// The file's accounts as they are known here; none for one that was refused.
    accounts: HashMap<Uuid, Option<TokenId>>,
    /// Orders waiting to be written, all of one account.
    batch: Vec<Restored>,
    /// The number of each one's line.
    numbers: Vec<usize>,
    /// Their ids: the same order twice is two batches.
    of: HashSet<String>,
    account: Option<TokenId>,
    bytes: usize,
    counts: Counts,
    /// Orders that were quarantined.
    quarantined: usize,
    wrong: usize,
    /// The lines since the last trailer.
    tally: Tally,
    end: End,
}

impl Restoring {
    async fn take(&mut self, number: usize, line: &[u8]) -> anyhow::Result<()> {
        let parsed = serde_json::from_slice(line);
        if !matches!(parsed, Ok(Line::Trailer(_))) {
            // A line that cannot be read is still of its kind.
            let is_order = matches!(parsed, Ok(Line::Order(_))) || line.starts_with(b"{\"order\"");
            self.tally.add(line, is_order);
            if matches!(self.end, End::Complete) {
                self.end = End::Missing;
            }
        }
        match parsed {
            Ok(Line::Account(account)) => self.take_account(number, &account).await,
            Ok(Line::Order(order)) => self.take_order(number, *order, line.len()).await,
            Ok(Line::Quarantined(order)) => self.take_quarantined(number, &order).await,
            Ok(Line::Trailer(trailer)) => {
                self.take_trailer(trailer);
                Ok(())
            }
            Err(error) => self.refuse(number, &error.to_string()),
        }
    }

    /// Exports may follow each other in one file: each has its trailer, and the first that differs is reported.
    fn take_trailer(&mut self, expected: Trailer) {
        let found = mem::take(&mut self.tally).trailer();
        if !matches!(self.end, End::Differs { .. }) {
            self.end = if expected == found { End::Complete } else { End::Differs { expected, found } };
        }
    }

    async fn take_account(&mut self, number: usize, line: &AccountLine) -> anyhow::Result<()> {
        let found = match import::account(&self.pool, &self.keyring, line).await {
            Err(TokenStoreError::Database(error)) if error.is_permanent() => Err(Chain(&error).to_string()),
            found => found?,
        };
        if let Err(reason) = &found {
            self.refuse(number, reason)?;
        }
        self.accounts.insert(line.id, found.ok());
        Ok(())
    }

    /// The account of a line, if it can be restored; otherwise refuses the line.
    fn account_of(&mut self, number: usize, token_id: Uuid) -> anyhow::Result<Option<TokenId>> {
        match self.accounts.get(&token_id).copied() {
            Some(Some(account)) => return Ok(Some(account)),
            Some(None) => self.refuse(number, "its account was refused")?,
            None => self.refuse(number, "its account's line does not stand before it")?,
        }
        Ok(None)
    }

    async fn take_quarantined(&mut self, number: usize, line: &QuarantinedLine) -> anyhow::Result<()> {
        let Some(account) = self.account_of(number, line.token_id)? else { return Ok(()) };
        match import::quarantine(&self.pool, account, line).await {
            Err(error) if error.is_permanent() => self.refuse(number, &Chain(&error).to_string()),
            is_new => {
                self.quarantined += usize::from(is_new?);
                Ok(())
            }
        }
    }

    async fn take_order(&mut self, number: usize, line: OrderLine, length: usize) -> anyhow::Result<()> {
        let Some(account) = self.account_of(number, line.token_id)? else { return Ok(()) };
        let restored = match import::read(line) {
            Ok(restored) => restored,
            Err(reason) => return self.refuse(number, &reason),
        };
        let is_full = self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES;
        if is_full || self.account != Some(account) || self.of.contains(restored.order_id()) {
            self.write().await?;
        }
        self.account = Some(account);
        self.of.insert(restored.order_id().to_owned());
        self.bytes += length;
        self.batch.push(restored);
        self.numbers.push(number);
        Ok(())
    }

    /// Restores the batch in one transaction, or, where that fails, order by order. Refuses an order that cannot be stored.
    async fn write(&mut self) -> anyhow::Result<()> {
        let (batch, numbers) = (mem::take(&mut self.batch), mem::take(&mut self.numbers));
        if let Some(account) = self.account {
            match import::restore(&self.pool, &UuidV7Source, account, &batch).await {
                Ok(counts) => self.counts.add(counts),
                Err(error) if error.is_unavailable() => return Err(error.into()),
                Err(_) => {
                    for (number, order) in numbers.into_iter().zip(&batch) {
                        let order = slice::from_ref(order);
                        match import::restore(&self.pool, &UuidV7Source, account, order).await {
                            Err(error) if error.is_permanent() => {
                                self.refuse(number, &Chain(&error).to_string())?;
                            }
                            counts => self.counts.add(counts?),
                        }
                    }
                }
            }
        }
        self.of.clear();
        self.bytes = 0;
        Ok(())
    }

    fn refuse(&mut self, number: usize, reason: &str) -> anyhow::Result<()> {
        self.wrong += 1;
        if self.wrong <= TOLD {
            writeln!(io::stderr(), "line {number}: {reason}")?;
        }
        Ok(())
    }
}
