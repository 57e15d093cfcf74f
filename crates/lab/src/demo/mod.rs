//! `cargo xtask demo`: a day of a shop on real servers.

pub(crate) mod allegro;
pub(crate) mod client;
pub(crate) mod count;
pub(crate) mod stock;
pub(crate) mod subscriber;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder};

use crate::chaos::Windows;
use crate::deadline::Deadline;
use client::Client;
use count::Table;
use subscriber::Subscriber;

const USER: &str = "sklep-demo";
const LIVE: u32 = 60;
const LIVE_PER_SECOND: u32 = 20;
/// Time limit of a step.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Time limit of the demo after the build.
const LIMIT: Duration = Duration::from_mins(15);

/// Prints the steps and the time since the demo began.
struct Steps {
    started: Instant,
    number: u32,
}

impl Steps {
    fn next(&mut self, text: &str) {
        self.number += 1;
        println!("[{:>5.1} s] {}. {text}", self.started.elapsed().as_secs_f32(), self.number);
    }

    fn note(&self, text: &str) {
        println!("[{:>5.1} s]    {text}", self.started.elapsed().as_secs_f32());
    }
}

/// Runs the demo. Fails when anything is missing at its end.
pub(crate) fn run(profile: Profile, keep: bool, orders: u32) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(profile)?;
    let deadline = Deadline::start("the demo", LIMIT);
    let mut steps = Steps { started: Instant::now(), number: 0 };
    steps.next("Postgres, Redis, RabbitMQ, the sandbox and the services start");
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(profile, &names)?;
    let kept = play(&mut stack, &mut steps, orders)?;
    drop(deadline);
    if keep {
        holder::show()?;
        println!("\nleft running; Ctrl-C or `cargo xtask down` ends it");
        loop {
            std::thread::park();
        }
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(stack: &mut Stack, steps: &mut Steps, orders: u32) -> Result<bool> {
    let client = Client::new(stack)?;
    steps.next("a subscriber subscribes to all events");
    let file = stack::folder().join("subscriber.ndjson");
    let subscriber = Subscriber::start(&file, Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;

    steps.next(&format!("a seller with {orders} orders of the last year connects the shop by device flow"));
    client.make_orders(None, orders)?;
    client.slow_down(Duration::from_millis(40))?;
    client.connect(USER, None)?;

    steps.next("its orders are backed up; allegro-backup is killed with -9 in the middle");
    wait_until("the backup has begun", TIMEOUT, || {
        let reading = client.reading(USER)?;
        Ok(reading.is_complete || reading.read > 0)
    })?;
    let reading = client.reading(USER)?;
    stack.kill("allegro-backup")?;
    let place = if reading.is_complete { "too late to be in the middle, " } else { "" };
    steps.note(&format!("killed {place}after {} of {} orders", reading.read, reading.total));
    stack.start_again("allegro-backup")?;
    wait_until("all orders are backed up", TIMEOUT, || Ok(client.reading(USER)?.is_complete))?;
    steps.note("complete");

    steps.next(&format!("{LIVE} new orders arrive; webhook-dispatcher is killed with -9 in the middle"));
    client.slow_down(Duration::ZERO)?;
    let before = subscriber.total();
    client.go_live(None, LIVE, LIVE_PER_SECOND, 5)?;
    wait_until("the subscriber receives some", TIMEOUT, || Ok(subscriber.total() > before + 10))?;
    let mut windows = Windows::default();
    windows.kill(stack, "webhook-dispatcher", &client, &subscriber)?;
    let (arrived, received) = (client.arrived()?, subscriber.total() - before);
    steps.note(&format!(
        "killed after {arrived} of {LIVE} orders; the subscriber had received {received} webhooks"
    ));
    stack.start_again("webhook-dispatcher")?;
    wait_until("all new orders have arrived", TIMEOUT, || Ok(client.arrived()? >= u64::from(LIVE)))?;

    steps.next("a buyer cancels an order");
    let last = client.source_orders()?.into_iter().rev().find(|order| !order.is_cancelled);
    if let Some(order) = last {
        client.cancel(&order.id)?;
    }

    steps.next("everything arrives");
    let table = settle(&client, &subscriber, &[USER], windows.sum(), TIMEOUT)?;
    table.print();
    println!(
        "\n{} in {:.0} s; the subscriber's file is {}",
        if table.is_met() { "nothing is missing" } else { "SOMETHING IS MISSING" },
        steps.started.elapsed().as_secs_f32(),
        file.display(),
    );
    Ok(table.is_met())
}

/// Waits until all guarantees hold, and returns the counts at that time or at the time limit. `window` is the number of
/// webhooks that kills may have repeated.
pub(crate) fn settle(
    client: &Client,
    subscriber: &Subscriber,
    users: &[&str],
    window: usize,
    patience: Duration,
) -> Result<Table> {
    let deadline = Instant::now() + patience;
    loop {
        let table = Table::count(client, subscriber, users, window)?;
        if table.is_met() || Instant::now() > deadline {
            return Ok(table);
        }
        sleep(Duration::from_millis(500));
    }
}

/// Polls until the condition holds. A service that is restarting may fail to answer.
pub(crate) fn wait_until(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match ask() {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() > deadline => {
                bail!("timed out after {patience:?} waiting until {what}")
            }
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("timed out after {patience:?} waiting until {what}")));
            }
            _ => sleep(Duration::from_millis(20)),
        }
    }
}
