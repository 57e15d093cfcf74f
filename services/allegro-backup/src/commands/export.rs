//! `allegro-backup export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ::domain::instant::are_in_order;
use anyhow::{Context, bail};
use chassis::Signals;
use clap::{Args, ValueEnum};
use domain::UserId;
use runtime::Settings;
use time::OffsetDateTime;

use super::moment::moment;
use super::progress::bar;
use crate::app::export::{Export, Format, Scope};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  export --user sklep-zielony --output orders.ndjson
  export --format csv --from 2026-11-01 --to 2026-12-01 > november.csv
  export | zstd > everything.ndjson.zst

An export holds no tokens. The last line of ndjson is a trailer, by which `import` checks that the file is complete.
After Ctrl-C the export leaves no file.";

/// Write orders to a file or to standard output, as they stand at one moment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only of this user; of everybody unless given
    #[arg(long, value_parser = UserId::parse)]
    user: Option<UserId>,
    /// Only orders bought from this day or moment on, e.g. 2026-11-01 or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Only orders bought before this day or moment
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    to: Option<OffsetDateTime>,
    /// ndjson holds everything and is what `import` reads; csv is a table for spreadsheets
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Word,
    /// Where to; the file appears when it is complete. Standard output unless given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Word {
    Ndjson,
    Csv,
}

pub(super) async fn run(settings: Settings<Config>, arguments: Arguments) -> anyhow::Result<()> {
    if !are_in_order(arguments.from, arguments.to) {
        bail!("--from must be before --to");
    }
    let pool = pg::Pool::new(&settings.platform.database.url, 1, "export")?;
    let user = arguments.user.map(String::from);
    let scope = Scope { user_id: user.clone(), from: arguments.from, to: arguments.to, ..Scope::default() };
    let format = match arguments.format {
        Word::Ndjson => Format::Ndjson,
        Word::Csv => Format::Csv,
    };
    let mut export = Export::begin(&pool, scope, format).await?;
    // An empty file would be taken for a backup.
    if let Some(user) = user.filter(|_| export.is_of_nobody()) {
        bail!("the user {user:?} has no account, and never had one");
    }
    let place = if let Some(path) = arguments.output {
        let mut signals = Signals::install()?;
        tokio::select! {
            written = to_file(&mut export, &path) => written?,
            signal = signals.next() => bail!("ended by {signal}; {} was not written", path.display()),
        }
        format!(" written to {}", path.display())
    } else {
        write(&mut export, &mut BufWriter::new(io::stdout())).await?;
        String::new()
    };
    writeln!(io::stderr(), "{} orders{place}", export.orders)?;
    Ok(())
}

/// A partial file. It is removed on drop unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _renamed = std::fs::remove_file(&self.0);
    }
}

/// Whoever finds the file finds all of it: it gets its name when it is on the disk.
async fn to_file(export: &mut Export, path: &Path) -> anyhow::Result<()> {
    let name = path.file_name().context("the output is not a file")?;
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = Partial(path.with_file_name(partial));
    let file = File::create(&partial.0).with_context(|| format!("cannot create {}", partial.0.display()))?;
    let mut writer = BufWriter::new(file);
    write(export, &mut writer).await?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&partial.0, path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(())
}

async fn write(export: &mut Export, to: &mut impl Write) -> anyhow::Result<()> {
    let total = u64::try_from(export.count().await?).unwrap_or_default();
    let shown = bar(total, "{bar:40} {pos}/{len} orders, {per_sec}, {eta} left")?;
    while let Some(part) = export.next().await? {
        to.write_all(&part)?;
        shown.set_position(u64::try_from(export.orders).unwrap_or_default());
    }
    to.flush()?;
    shown.finish_and_clear();
    Ok(())
}
