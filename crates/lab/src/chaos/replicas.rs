//! Tests two replicas of every role of allegro-backup and two of webhook-dispatcher, each a separate process, killed in
//! turn.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use stack::build::{self, Profile};
use stack::{Stack, holder};

use super::callers::Callers;
use super::{Kills, TIMEOUT, Windows};
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::{settle, wait_until};

const ACCOUNTS: usize = 20;
/// Number of past orders of each shop.
const ORDERS: u32 = 200;
/// Number of new orders, all of the last shop, and their rate per second.
const LIVE: u32 = 1200;
const RATE: u32 = 20;
/// Latency of Allegro's answers, as over a real network.
const ALLEGRO_DELAY: Duration = Duration::from_millis(60);
const PAUSE: Duration = Duration::from_millis(1500);
/// Name, service and roles of each replica.
pub(super) const REPLICAS: [(&str, &str, &str); 8] = [
    ("api-1", "allegro-backup", "api"),
    ("api-2", "allegro-backup", "api"),
    ("worker-1", "allegro-backup", "worker"),
    ("worker-2", "allegro-backup", "worker"),
    ("scheduler-1", "allegro-backup", "scheduler"),
    ("scheduler-2", "allegro-backup", "scheduler"),
    ("dispatcher-1", "webhook-dispatcher", "api,worker"),
    ("dispatcher-2", "webhook-dispatcher", "api,worker"),
];
/// The replicas that are killed. Callers use the first available one of each role.
pub(super) const VICTIMS: [&str; 6] =
    ["worker-1", "scheduler-1", "dispatcher-2", "worker-2", "scheduler-2", "api-2"];

/// Number of schedule runs, and how many were started twice for one time. The times follow from the schedule's phase
/// and interval.
const TURNS: &str = "WITH turns AS (SELECT s.name, floor(extract(epoch FROM h.created_at - s.next_run_at) / \
     extract(epoch FROM s.every)) AS turn FROM schedules s JOIN task_history h ON h.queue = s.queue AND h.kind = s.kind \
     WHERE h.requested_by = 'schedule' AND s.every IS NOT NULL) \
     SELECT count(*) || ' ' || count(*) - count(DISTINCT (name, turn)) FROM turns";
/// Number of tasks that neither wait nor succeeded, and number that ran beside another of their queue.
const TASKS: &str = "SELECT count(*) FILTER (WHERE status = 'failed') || ' ' || \
     (SELECT count(*) FROM task_history a JOIN task_history b ON a.queue = b.queue AND a.id < b.id \
      AND b.started_at < a.finished_at AND a.started_at < b.finished_at) FROM task_history";

/// Schedules that become due at the time at which a scheduler is killed.
const DUE: &str =
    "SELECT count(*) FROM schedules WHERE is_enabled AND next_run_at < now() + interval '150 ms'";

/// Kills the replicas in turn.
pub(super) fn run(kills: u32) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let mut stack = Stack::start(Profile::Demo, &[])?;
    for (name, service, roles) in REPLICAS {
        stack.start_replica(name, service, roles)?;
    }
    let client = Client::new(&stack)?;
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::from_millis(4))?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    let users: Vec<String> = (1..=ACCOUNTS).map(|number| format!("sklep-{number:02}")).collect();
    let started = Instant::now();
    let mut last = String::new();
    for user in &users {
        let seller = client.add_seller(user)?;
        client.make_orders(Some(&seller), ORDERS)?;
        client.connect(user, Some(&seller))?;
        last = seller;
    }
    client.go_live(Some(&last), LIVE, RATE, 0)?;
    client.slow_down(ALLEGRO_DELAY)?;
    // One more schedule than accounts: the service has one of its own.
    wait_until("all journals are followed", TIMEOUT, || Ok(client.schedules()? > ACCOUNTS))?;
    let callers = Callers::start(
        &stack,
        "api-2",
        &format!("/api/v1/orders/{}?limit=200", users.first().context("no shop")?),
    )?;
    let (mut kill_counts, mut windows) = (Kills::default(), Windows::default());
    for kill in 0..kills {
        let victim = VICTIMS.iter().cycle().nth(usize::try_from(kill)?).context("nobody to kill")?;
        let is_busy = || match victim.split('-').next() {
            Some("dispatcher") => Ok(subscriber.in_flight() > 0),
            Some("worker") => Ok(client.running_tasks()? > 0),
            Some("scheduler") => Ok(stack.ask("allegro_backup", DUE)?.trim().parse::<u32>()? > 0),
            _ => Ok(callers.in_flight() > 0),
        };
        wait_until("there is work in flight", TIMEOUT, is_busy)?;
        let in_flight = is_busy()?;
        if victim.starts_with("dispatcher") {
            windows.kill(&mut stack, victim, &client, &subscriber)?;
        } else {
            stack.kill(victim)?;
        }
        kill_counts.note(in_flight);
        println!("[{:>5.1} s] {victim} killed", started.elapsed().as_secs_f32());
        sleep(PAUSE);
        stack.start_again(victim)?;
    }
    kill_counts.print("replicas");
    let (answered, wrong) = callers.end();
    println!("api-2 gave {answered} answers between its deaths, {wrong} of them neither 200 nor 503");
    wait_until("all new orders have arrived", TIMEOUT, || Ok(client.arrived()? >= u64::from(LIVE)))?;
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let table = settle(&client, &subscriber, &names, windows.sum(), TIMEOUT)?;
    table.print();
    let (runs, twice) = pair(&stack.ask("allegro_backup", TURNS)?)?;
    let (failed, beside) = pair(&stack.ask("allegro_backup", TASKS)?)?;
    println!("\n  {runs} runs of schedules, {twice} of them a second one of the same turn");
    println!("  {failed} tasks failed, {beside} ran beside another of their queue");
    let is_passed = table.is_met()
        && kill_counts.is_valid()
        && answered > 0
        && wrong == 0
        && runs > 0
        && twice + failed + beside == 0;
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Parses two numbers printed by psql.
fn pair(text: &str) -> Result<(u64, u64)> {
    let (first, second) =
        text.trim().split_once(' ').with_context(|| format!("not two numbers: {text:?}"))?;
    Ok((first.parse()?, second.parse()?))
}
