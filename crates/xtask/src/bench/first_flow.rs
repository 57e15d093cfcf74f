//! An order's way: how fast the list is read and stored, and how fast webhooks are delivered.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::usage::Usage;
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::wait_until;
use crate::process;
use crate::stack::{self, SERVICES, Stack, build, commands};

const USER: &str = "sklep-bench";
const PATIENCE: Duration = Duration::from_mins(10);
/// Requests at once to the receiver in the raw run: as many as one subscription gets.
const SENDERS: u32 = 8;
const RAW_REQUESTS: u32 = 20_000;

/// One line of the table.
struct Figure {
    what: &'static str,
    count: u32,
    elapsed: Duration,
    raw_what: &'static str,
    raw_per_second: f64,
    cores: f64,
    peak_megabytes: u64,
}

pub(super) fn run(orders: u32) -> Result<ExitCode> {
    let _lock = commands::lock()?;
    build()?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(&names)?;
    let client = Client::new(&stack)?;
    client.make_orders(None, orders)?;

    // The dispatcher stands still while the list is read, so that each is measured alone; its queue fills.
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    stack.kill("webhook-dispatcher")?;
    let backup = measure_backup(&mut stack, &client, orders)?;
    let webhooks = measure_webhooks(&mut stack, &subscriber)?;
    print(&[backup, webhooks]);
    Ok(ExitCode::SUCCESS)
}

fn measure_backup(stack: &mut Stack, client: &Client, orders: u32) -> Result<Figure> {
    let before = Usage::of(stack.process("allegro-backup")?)?;
    let connected = Instant::now();
    client.connect(USER, None)?;
    let mut started = None;
    wait_until("the list is read", PATIENCE, || {
        let reading = client.reading(USER)?;
        if reading.is_under_way {
            started.get_or_insert_with(Instant::now);
        }
        Ok(reading.is_complete)
    })?;
    let elapsed = started.unwrap_or(connected).elapsed();
    let after = Usage::of(stack.process("allegro-backup")?)?;
    let raw = raw_copy(stack)?;
    Ok(Figure {
        what: "first sync, orders",
        count: orders,
        elapsed,
        raw_what: "COPY of the same documents into a table like it",
        raw_per_second: f64::from(orders) / raw.as_secs_f64(),
        cores: after.cores_since(before, connected.elapsed()),
        peak_megabytes: after.peak_megabytes,
    })
}

/// Copies the stored documents out to a file, and times copying them into a table with the same key.
fn raw_copy(stack: &Stack) -> Result<Duration> {
    let database = stack.database("allegro_backup")?;
    let file = stack::folder().join("documents.copy");
    let psql =
        |sql: &str| process::run(Command::new(stack::psql()?).args(["-qAt", "-d", &database, "-c", sql]));
    let columns = "id, token_id, allegro_order_id, order_data";
    psql(&format!("\\copy (SELECT {columns} FROM orders) TO '{}'", file.display()))?;
    psql(
        "CREATE TABLE raw_orders (id uuid PRIMARY KEY, token_id uuid, allegro_order_id text, order_data jsonb, \
         UNIQUE (token_id, allegro_order_id))",
    )?;
    let started = Instant::now();
    psql(&format!("\\copy raw_orders ({columns}) FROM '{}'", file.display()))?;
    let elapsed = started.elapsed();
    psql("DROP TABLE raw_orders")?;
    remove(&file)?;
    Ok(elapsed)
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
}

fn measure_webhooks(stack: &mut Stack, subscriber: &Subscriber) -> Result<Figure> {
    // Everything is in the queue before the dispatcher starts.
    wait_until("the outbox is told", PATIENCE, || {
        let database = stack.database("allegro_backup")?;
        let left = process::run(Command::new(stack::psql()?).args([
            "-qAt",
            "-d",
            &database,
            "-c",
            "SELECT count(*) FROM outbox",
        ]))?;
        Ok(left.trim() == "0")
    })?;
    stack.start_again("webhook-dispatcher")?;
    let before = Usage::of(stack.process("webhook-dispatcher")?)?;
    wait_until("the first webhook arrives", PATIENCE, || Ok(subscriber.total() > 0))?;
    let (started, first) = (Instant::now(), subscriber.total());
    let mut last = (first, Instant::now());
    // Nothing new for a while: everything is delivered.
    while last.1.elapsed() < Duration::from_secs(3) {
        let total = subscriber.total();
        if total > last.0 {
            last = (total, Instant::now());
        }
        sleep(Duration::from_millis(20));
    }
    let elapsed = last.1 - started;
    let after = Usage::of(stack.process("webhook-dispatcher")?)?;
    let raw = raw_requests(&subscriber.url)?;
    Ok(Figure {
        what: "deliveries, signed and recorded",
        count: u32::try_from(last.0 - first)?,
        elapsed,
        raw_what: "bare POSTs to the same receiver, 8 at once",
        raw_per_second: f64::from(RAW_REQUESTS) / raw.as_secs_f64(),
        cores: after.cores_since(before, elapsed),
        peak_megabytes: after.peak_megabytes,
    })
}

/// Unsigned requests of a usual size: the receiver reads them and says no.
fn raw_requests(url: &str) -> Result<Duration> {
    let body = "x".repeat(900);
    let started = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (url, body) = (url.to_owned(), body.clone());
            spawn(move || {
                let agent: ureq::Agent =
                    ureq::Agent::config_builder().http_status_as_error(false).build().into();
                (0..RAW_REQUESTS / SENDERS).filter(|_| agent.post(&url).send(body.as_str()).is_ok()).count()
            })
        })
        .collect();
    let mut sent = 0;
    for sender in senders {
        sent += sender.join().ok().context("a sender panicked")?;
    }
    if sent != usize::try_from(RAW_REQUESTS)? {
        bail!("only {sent} of {RAW_REQUESTS} bare requests were answered");
    }
    Ok(started.elapsed())
}

fn print(figures: &[Figure]) {
    let mut text = Vec::new();
    for figure in figures {
        let per_second = f64::from(figure.count) / figure.elapsed.as_secs_f64();
        // Writing to memory cannot fail.
        let _written = writeln!(
            text,
            "| {} | {} | {per_second:.0}/s | {}: {:.0}/s | {:.2} | {:.1} cores, {} MB |",
            figure.what,
            figure.count,
            figure.raw_what,
            figure.raw_per_second,
            per_second / figure.raw_per_second,
            figure.cores,
            figure.peak_megabytes,
        );
    }
    println!(
        "\n| what | count | figure | raw limit in the same run | ratio | service's CPU and peak memory |"
    );
    println!("|---|---|---|---|---|---|\n{}", String::from_utf8_lossy(&text));
}
