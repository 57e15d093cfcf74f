//! `allegro-backup export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::export::{Export, Format, Scope};
use crate::config::Config;

/// Write orders to a file or to standard output, as they stand at one moment
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only of this user; of everybody unless given
    #[arg(long)]
    user: Option<String>,
    /// Only orders bought at or after this moment, e.g. 2026-11-01T00:00:00Z
    #[arg(long, value_parser = moment)]
    from: Option<OffsetDateTime>,
    /// Only orders bought before this moment
    #[arg(long, value_parser = moment)]
    to: Option<OffsetDateTime>,
    /// ndjson holds everything and is what `import` reads; csv is a table for spreadsheets
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Word,
    /// Where to; the file appears when it is complete. Standard output unless given
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Word {
    Ndjson,
    Csv,
}

fn moment(text: &str) -> Result<OffsetDateTime, time::error::Parse> {
    OffsetDateTime::parse(text, &Rfc3339)
}

pub(super) async fn run(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let pool = pg::Pool::new(&config.database.url, 1, "export")?;
    let scope = Scope { user_id: arguments.user, from: arguments.from, to: arguments.to, ..Scope::default() };
    let format = match arguments.format {
        Word::Ndjson => Format::Ndjson,
        Word::Csv => Format::Csv,
    };
    let mut export = Export::begin(&pool, scope, format).await?;
    match arguments.output {
        Some(path) => to_file(&mut export, &path).await?,
        None => write(&mut export, &mut BufWriter::new(io::stdout())).await?,
    }
    writeln!(io::stderr(), "{} orders", export.orders)?;
    Ok(())
}

/// Whoever finds the file finds all of it: it gets its name when it is on the disk.
async fn to_file(export: &mut Export, path: &Path) -> anyhow::Result<()> {
    let name = path.file_name().context("the output is not a file")?;
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = path.with_file_name(partial);
    let file = File::create(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let mut writer = BufWriter::new(file);
    write(export, &mut writer).await?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&partial, path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(())
}

async fn write(export: &mut Export, to: &mut impl Write) -> anyhow::Result<()> {
    let total = u64::try_from(export.count().await?).unwrap_or_default();
    let bar = super::bar(total, "{bar:40} {pos}/{len} orders, {per_sec}, {eta} left")?;
    while let Some(part) = export.next().await? {
        to.write_all(&part)?;
        bar.set_position(u64::try_from(export.orders).unwrap_or_default());
    }
    to.flush()?;
    bar.finish_and_clear();
    Ok(())
}
