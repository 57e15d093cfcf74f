//! Benchmarks stock-sync: from the event that an order is ready to the deduction of its units and its flag at
//! allegro-backup.

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder, process};

use super::usage::Usage;
use super::{TIMEOUT, all_published, stock_print, stock_sql as sql, table};
use crate::demo::client::Client;
use crate::demo::wait_until;

/// Poll interval of the progress.
const LOOK: Duration = Duration::from_millis(200);
const USER: &str = "sklep-pomiar";
/// Orders per second at the steady rate.
pub(super) const STEADY: u32 = 100;
/// Lines of each order.
pub(super) const LINES: u32 = 3;

/// Size of the measurement.
pub(super) struct Size {
    /// Orders published at once.
    pub(super) orders: u32,
    /// Seconds at the steady rate.
    pub(super) seconds: u32,
    pub(super) rounds: usize,
    pub(super) is_full: bool,
}

pub(super) const FULL: Size = Size { orders: 10_000, seconds: 20, rounds: 3, is_full: true };
pub(super) const QUICK: Size = Size { orders: 3_000, seconds: 5, rounds: 1, is_full: false };

/// Results of one round.
pub(super) struct Round {
    /// Orders per second: of bare inserts, deducted, and flagged.
    pub(super) raw: f64,
    pub(super) deducted: f64,
    pub(super) flagged: f64,
    /// CPU time of the service while all are deducted and flagged, in cores, and its peak memory.
    pub(super) cores: f64,
    pub(super) peak_megabytes: u64,
    /// Milliseconds from event to flag at the steady rate.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Percentage of operations that completed at their first attempt.
    pub(super) first_try: f64,
}

pub(super) fn run(size: &Size) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Release)?;
    let rounds = table::rounds(size.rounds, || measure(size))?;
    table::conclude(&stock_print::rows(size), &rounds, size.is_full.then_some("stock"))
}

fn measure(size: &Size) -> Result<Round> {
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start_with(Profile::Release, &names, &[])?;
    // It has bound its queue, so that events are routed, and is stopped.
    stack.kill("webhook-dispatcher")?;
    let client = Client::new(&stack)?;
    let all = size.orders + STEADY * size.seconds;
    client.make_orders(None, all)?;
    client.connect(USER, None)?;
    wait_until("the list is read", TIMEOUT, || Ok(client.reading(USER)?.is_complete))?;
    stack.ask("allegro_backup", sql::EVENTS)?;
    wait_until("stock-sync has applied their events", TIMEOUT, || {
        Ok(stack.ask("allegro_backup", sql::ANNOUNCED)? == stack.ask("stock_sync", sql::KNOWN)?)
    })?;
    stack.kill("stock-sync")?;
    stack.ask("stock_sync", sql::PREPARE)?;

    let (deducted, flagged, cores) = drain(&mut stack, size.orders)?;
    let raw = raw(&stack, size.orders)?;
    println!(
        "  {deducted:.0} orders/s deducted, {flagged:.0}/s flagged, {cores:.2} cores; the rows alone {raw:.0}/s"
    );
    let (p50, p99) = steady(&stack, size)?;
    println!("  at {STEADY} orders/s: p50 {p50:.1} ms, p99 {p99:.1} ms");
    let first_try = verify(&stack, all)?;
    let peak_megabytes = Usage::of(stack.process("stock-sync")?)?.peak_megabytes;
    Ok(Round { raw, deducted, flagged, cores, peak_megabytes, p50, p99, first_try })
}

/// Processes a full queue. Returns the orders per second that were deducted and that were flagged, since the first
/// event was applied, and the CPU time of the service in cores.
fn drain(stack: &mut Stack, orders: u32) -> Result<(f64, f64, f64)> {
    stack.ask("allegro_backup", &sql::publish_up_to(orders))?;
    all_published(stack)?;
    stack.start_again("stock-sync")?;
    let process = stack.process("stock-sync")?;
    all_flagged(stack, orders)?;
    let usage = Usage::of(process)?;
    let deducted = stack.ask("stock_sync", sql::DEDUCTED)?;
    let (seconds, moment) = deducted.trim().split_once(' ').context("not two numbers")?;
    let flagged: f64 = stack.ask("allegro_backup", &sql::flagged_since(moment))?.trim().parse()?;
    let seconds: f64 = seconds.parse()?;
    Ok((f64::from(orders) / seconds, f64::from(orders) / flagged, usage.cpu.as_secs_f64() / flagged))
}

/// Waits until this number of orders, which is all, is flagged.
fn all_flagged(stack: &Stack, orders: u32) -> Result<()> {
    let lines = (u64::from(orders) * u64::from(LINES)).to_string();
    wait_until("all orders are flagged", TIMEOUT, || {
        // A query costs as much as several orders.
        sleep(LOOK);
        Ok(stack.ask("stock_sync", sql::COMPLETED)?.trim() == lines)
    })
}

/// Orders per second when one statement inserts the rows of all deductions into equal tables.
fn raw(stack: &Stack, orders: u32) -> Result<f64> {
    let database = stack.database("stock_sync")?;
    let psql = |statements: &str| {
        let mut command = Command::new(stack::psql()?);
        command.args(["-qAt", "-v", "ON_ERROR_STOP=1", "-d", &database, "-c", "SET statement_timeout = 0"]);
        process::run(command.args(["-c", statements]))
    };
    psql(sql::RAW_TABLES)?;
    let started = Instant::now();
    psql(sql::RAW)?;
    let elapsed = started.elapsed();
    psql(sql::NO_RAW_TABLES)?;
    Ok(f64::from(orders) / elapsed.as_secs_f64())
}

/// Publishes orders at a steady rate, and returns p50 and p99 of the milliseconds until each was flagged.
fn steady(stack: &Stack, size: &Size) -> Result<(f64, f64)> {
    let database = stack.database("allegro_backup")?;
    let mut psql = Command::new(stack::psql()?)
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", &database])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start psql")?;
    let mut input = psql.stdin.take().context("psql has no input")?;
    let started = Instant::now();
    for number in 0..STEADY * size.seconds {
        let due = Duration::from_secs(1) * number / STEADY;
        sleep(due.saturating_sub(started.elapsed()));
        writeln!(input, "SELECT bench_publish({});", size.orders + number + 1)?;
        input.flush()?;
    }
    drop(input);
    if !psql.wait()?.success() {
        bail!("publishing orders failed");
    }
    all_flagged(stack, size.orders + STEADY * size.seconds)?;
    let delays = stack.ask("allegro_backup", &sql::delays_after(size.orders))?;
    let (p50, p99) = delays.trim().split_once(' ').context("not two numbers")?;
    Ok((p50.parse()?, p99.parse()?))
}

/// Checks that each unit was deducted once, each order is flagged, and each level is the sum of its movements. Returns
/// the percentage of operations that completed at their first attempt.
fn verify(stack: &Stack, orders: u32) -> Result<f64> {
    let done = stack.ask("stock_sync", sql::DONE)?;
    let mut numbers = done.split_whitespace().map(str::parse::<u32>);
    let mut next = || numbers.next().context("too few numbers")?.context("not a number");
    let (lines, first, units, wrong) = (next()?, next()?, next()?, next()?);
    let flagged: u32 = stack.ask("allegro_backup", sql::FLAGGED)?.trim().parse()?;
    if (lines, units, wrong, flagged) != (orders * LINES, orders * LINES, 0, orders) {
        bail!(
            "of {orders} orders {lines} lines are done, {units} units left, {wrong} levels are wrong, {flagged} are flagged"
        );
    }
    Ok(100.0 * f64::from(first) / f64::from(lines))
}
