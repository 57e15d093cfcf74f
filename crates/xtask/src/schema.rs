//! `cargo xtask schema`: diesel's `table!` declarations, generated from the SQL of the migrations.
//!
//! Diesel's own command line needs libpq, and a service whose declarations are out of date cannot be compiled to apply its
//! migrations. psql applies them to a private Postgres instead, in a transaction that is never committed.

mod render;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use stack::servers::{self, Servers};
use stack::{process, psql, root};

use render::Column;

/// The platform crates with tables in `crates/<name>/sql`, and the files of their declarations.
const PLATFORM: [(&str, &str); 5] = [
    ("alerts", "store/schema.rs"),
    ("messaging", "schema.rs"),
    ("pg", "tables.rs"),
    ("tasks", "schema.rs"),
    ("web", "store/schema.rs"),
];

/// The columns of all tables in table order, each with its place in the primary key, or -1.
const COLUMNS: &str = "SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attnotnull, \
         coalesce(array_position(i.indkey::int2[], a.attnum), -1) \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
     LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 \
         AND NOT a.attisdropped ORDER BY c.relname, a.attnum";

/// Writes the declarations, or with `check` fails when one is out of date.
pub(crate) fn run(check: bool) -> Result<()> {
    let servers = servers::start_postgres(&root().join("target").join("stack-schema"))?;
    let mut stale = Vec::new();
    for (file, text) in declarations(&servers)? {
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            continue;
        }
        let shown = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        if check {
            stale.push(shown);
        } else {
            fs::write(&file, text).with_context(|| format!("cannot write {shown}"))?;
            println!("wrote {shown}");
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("{} out of date: run `cargo xtask schema`", stale.join(", "))
}

/// All files of declarations and their text.
fn declarations(servers: &Servers) -> Result<Vec<(PathBuf, String)>> {
    let (mut made, mut shared) = (Vec::new(), BTreeSet::new());
    for (name, file) in PLATFORM {
        let folder = root().join("crates").join(name);
        let columns = columns(servers, &sorted(&folder.join("sql"))?)?;
        shared.extend(columns.iter().map(|column| column.table.clone()));
        made.push((folder.join("src").join(file), render::declarations(&columns)?));
    }
    for migrations in sorted(&root().join("migrations"))? {
        let schema = migrations.file_name().and_then(|name| name.to_str()).context("a name in UTF-8")?;
        let file = root()
            .join("services")
            .join(schema.replace('_', "-"))
            .join("src")
            .join("store")
            .join("schema.rs");
        // A service takes part once it has the file.
        if !file.exists() {
            continue;
        }
        let folders = sorted(&migrations)?.into_iter().filter(|path| path.is_dir());
        let files: Vec<PathBuf> = folders.map(|folder| folder.join("up.sql")).collect();
        let mut columns = columns(servers, &files)?;
        columns.retain(|column| !shared.contains(&column.table));
        made.push((file, render::declarations(&columns)?));
    }
    Ok(made)
}

/// Applies SQL files in their order, and returns the columns of the tables that they create.
fn columns(servers: &Servers, files: &[PathBuf]) -> Result<Vec<Column>> {
    let mut command = Command::new(psql()?);
    command.args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]);
    command.args(["-d", servers.address("DATABASE_URL")]);
    // The end of the session rolls everything back.
    for statement in ["BEGIN", "CREATE SCHEMA declarations", "SET LOCAL search_path TO declarations"] {
        command.args(["-c", statement]);
    }
    for file in files {
        command.arg("-f").arg(file);
    }
    process::run(command.args(["-c", COLUMNS]))?.lines().map(Column::read).collect()
}

/// The entries of a folder by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}
