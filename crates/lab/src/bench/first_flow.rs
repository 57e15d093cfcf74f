//! Benchmarks an order's path: reading and storing the list, and delivering webhooks.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder, process};

use super::usage::Usage;
use super::{TIMEOUT, first_sync};
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::wait_until;

const USER: &str = "sklep-bench";
/// Concurrent requests to the receiver in the raw run: as many as one subscription gets.
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
    let _lock = holder::lock()?;
    build::stack(Profile::Release)?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(Profile::Release, &names)?;
    let client = Client::new(&stack)?;
    client.make_orders(None, orders)?;

    // The dispatcher is stopped while the list is read, so that each is measured alone. Its queue fills.
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    stack.kill("webhook-dispatcher")?;
    let backup = measure_backup(&mut stack, &client, orders)?;
    let webhooks = measure_webhooks(&mut stack, &subscriber)?;
    print(&[backup, webhooks]);
    Ok(ExitCode::SUCCESS)
}

fn measure_backup(stack: &mut Stack, client: &Client, orders: u32) -> Result<Figure> {
    let synced = first_sync::measure(stack, client, USER, None)?;
    let raw = first_sync::raw(stack, USER)?;
    Ok(Figure {
        what: "first sync, orders",
        count: orders,
        elapsed: synced.elapsed,
        raw_what: first_sync::RAW,
        raw_per_second: f64::from(orders) / raw.as_secs_f64(),
        cores: synced.cores,
        peak_megabytes: synced.peak_megabytes,
    })
}

fn measure_webhooks(stack: &mut Stack, subscriber: &Subscriber) -> Result<Figure> {
    // All events are queued before the dispatcher starts.
    wait_until("the outbox is empty", TIMEOUT, || {
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
    wait_until("the first webhook arrives", TIMEOUT, || Ok(subscriber.total() > 0))?;
    let (started, first) = (Instant::now(), subscriber.total());
    let mut last = (first, Instant::now());
    // No new webhook for a while: everything is delivered.
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

/// Unsigned requests of a usual size, which the receiver reads and rejects.
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
