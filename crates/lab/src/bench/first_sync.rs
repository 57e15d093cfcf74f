//! Measures the first sync of an account, and COPY and upsert of the same documents.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use stack::{Stack, process};

use super::usage::{Usage, resident_megabytes};
use crate::demo::client::Client;
use crate::demo::wait_until;

const TIMEOUT: Duration = Duration::from_mins(30);
/// Interval between measurements of memory.
const LOOK: Duration = Duration::from_millis(200);
/// Name of the raw limit.
pub(super) const RAW: &str = "COPY and upsert of the same documents";

/// A first sync, measured.
pub(super) struct FirstSync {
    pub(super) elapsed: Duration,
    /// CPU time of the service, in cores.
    pub(super) cores: f64,
    /// Memory of the service: after a quarter, half, three quarters and all of the orders, and its peak.
    pub(super) quarters: [u64; 4],
    pub(super) peak_megabytes: u64,
}

/// Connects an account and waits until its list is read.
pub(super) fn measure(
    stack: &mut Stack,
    client: &Client,
    user: &str,
    seller: Option<&str>,
) -> Result<FirstSync> {
    let process = stack.process("allegro-backup")?;
    let before = Usage::of(process)?;
    let connected = Instant::now();
    client.connect(user, seller)?;
    let (mut started, mut looked) = (None, Instant::now());
    let (mut quarters, mut peak_megabytes) = ([0; 4], 0);
    wait_until("the list is read", TIMEOUT, || {
        let reading = client.reading(user)?;
        if reading.is_under_way {
            started.get_or_insert_with(Instant::now);
        }
        if looked.elapsed() > LOOK || reading.is_complete {
            looked = Instant::now();
            let now = resident_megabytes(process)?;
            peak_megabytes = peak_megabytes.max(now);
            let quarter = (reading.read * 4).checked_div(reading.total).unwrap_or_default();
            let quarter = if reading.is_complete { 4 } else { quarter };
            let at = usize::try_from(quarter)?.checked_sub(1);
            if let Some(place) = at.and_then(|at| quarters.get_mut(at)) {
                *place = now;
            }
        }
        Ok(reading.is_complete)
    })?;
    let elapsed = started.unwrap_or(connected).elapsed();
    let after = Usage::of(process)?;
    Ok(FirstSync { elapsed, cores: after.cores_since(before, connected.elapsed()), quarters, peak_megabytes })
}

/// Copies the stored documents of a user to a file, and measures copying and merging them into a table with the same
/// key.
pub(super) fn raw(stack: &Stack, user: &str) -> Result<Duration> {
    let database = stack.database("allegro_backup")?;
    let file = stack::folder().join("documents.copy");
    let psql = |statements: &[&str]| {
        let mut command = Command::new(stack::psql()?);
        command.args(["-qAt", "-v", "ON_ERROR_STOP=1", "-d", &database]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        process::run(&mut command)
    };
    let columns = "id, token_id, allegro_order_id, order_data";
    let rows = format!(
        "SELECT {columns} FROM orders WHERE token_id IN (SELECT id FROM user_tokens WHERE user_id = '{user}')"
    );
    psql(&[&format!("\\copy ({rows}) TO '{}'", file.display())])?;
    psql(&[
        "CREATE TABLE raw_orders (id uuid PRIMARY KEY, token_id uuid, allegro_order_id text, order_data jsonb, \
         UNIQUE (token_id, allegro_order_id))",
    ])?;
    let started = Instant::now();
    psql(&[
        "CREATE UNLOGGED TABLE staging (LIKE raw_orders)",
        &format!("\\copy staging ({columns}) FROM '{}'", file.display()),
        &format!(
            "INSERT INTO raw_orders SELECT {columns} FROM staging ON CONFLICT (token_id, allegro_order_id) \
             DO UPDATE SET order_data = excluded.order_data"
        ),
    ])?;
    let elapsed = started.elapsed();
    psql(&["DROP TABLE raw_orders, staging"])?;
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    Ok(elapsed)
}
