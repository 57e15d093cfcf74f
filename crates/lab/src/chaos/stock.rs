//! Tests stock-sync while everything that it depends on is killed: movements, levels and flags at allegro-backup must
//! equal the sandbox's sales.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::build::{self, Profile};
use stack::{Stack, holder};

use super::stock_expected::{self, ExpectedStock, GOODS};
use super::stock_submissions::{Account, Submitters, last_unit};
use super::{Kills, TIMEOUT};
use crate::demo::allegro::Allegro;
use crate::demo::client::Client;
use crate::demo::stock::Stock;
use crate::demo::wait_until;

/// Number of shops. Two users connect one of them.
const SHOPS: u32 = 5;
/// Past orders of each shop, which must not be deducted.
const PAST: u32 = 200;
/// New orders per second, over all shops.
const RATE: u32 = 100;
/// Units of each SKU: more than will be sold.
const UNITS: i64 = 100_000_000;
/// Maximum number of SKUs with a single unit; fewer with few orders.
const LAST_UNITS: u32 = 1000;
/// Time limit after the last order.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(15);

/// Name, service and roles of each process.
const PROCESSES: [(&str, &str, &str); 4] = [
    ("allegro-backup", "allegro-backup", "api,worker,scheduler"),
    ("webhook-dispatcher", "webhook-dispatcher", "api,worker,scheduler"),
    ("stock-1", "stock-sync", "api,worker,scheduler"),
    ("stock-2", "stock-sync", "api,worker,scheduler"),
];
/// The processes that are killed, in turn.
const VICTIMS: [&str; 8] =
    ["stock-1", "allegro-backup", "stock-2", "postgres", "stock-1", "rabbitmq", "stock-2", "redis"];
const SERVERS: [&str; 3] = ["postgres", "rabbitmq", "redis"];

/// Orders in progress: not flagged yet, or published and not applied.
const UNDER_WAY: &str = "SELECT (SELECT count(*) FROM pending_stock_operations WHERE status IN ('pending', 'processing')) \
     + (SELECT count(*) FROM outbox)";

/// Runs with this number of orders and kills, and makes allegro-backup unavailable for this time.
pub(super) fn run(kills: u32, orders: u32, outage: Duration) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let mut stack = Stack::start(Profile::Demo, &[])?;
    for (name, service, roles) in PROCESSES {
        stack.start_replica(name, service, roles)?;
    }
    let (client, allegro) = (Client::new(&stack)?, Allegro::new(&stack));
    let replicas = [Stock::new(&stack, "stock-1")?, Stock::new(&stack, "stock-2")?];
    let [stock_sync, _] = &replicas;
    println!("{}", last_unit(&replicas, (orders / 10).clamp(1, LAST_UNITS))?);
    for sku in GOODS {
        stock_sync.put(sku, UNITS)?;
    }
    let accounts = open_shops(&client)?;
    wait_until("stock-sync knows the accounts", TIMEOUT, || {
        Ok(stack.ask("stock_sync", "SELECT count(*) FROM accounts")?.trim() == accounts.len().to_string())
    })?;
    let past = ExpectedStock::read(&allegro, &accounts)?.ids();
    println!(
        "{} orders of the past in {} accounts; {orders} new ones at {RATE} a second",
        past.len(),
        accounts.len()
    );

    let started = Instant::now();
    allegro.go_live(&json!({
        "count": orders, "rate_per_second": RATE, "all_sellers": true, "cancel_percent": 5, "change_percent": 20,
        "merge_percent": 5,
    }))?;
    let submitters = Submitters::start(&stack, &allegro, &accounts, &replicas)?;
    let kill_counts = strike(&mut stack, &client, (kills, orders, outage), started)?;
    wait_until("all new orders have arrived", Duration::from_hours(2), || {
        Ok(client.arrived()? >= u64::from(orders))
    })?;
    let (submitted, refused) = submitters.end();
    println!(
        "{submitted} orders were submitted in addition to their events, {refused} requests had no answer or a 503"
    );
    kill_counts.print("services and servers");
    let is_met = judge(&stack, (&allegro, stock_sync), &accounts, &past, started)?;
    Ok(if is_met && kill_counts.is_valid() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Connects every shop with its past orders, the first of them by two users.
fn open_shops(client: &Client) -> Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for number in 0..SHOPS {
        let user = format!("sklep-{number:02}");
        let seller = if number == 0 { "1000001".to_owned() } else { client.add_seller(&user)? };
        client.make_orders(Some(&seller), PAST)?;
        let users = if number == 0 { vec![user, "ksiegowa".to_owned()] } else { vec![user] };
        for user in users {
            client.connect(&user, Some(&seller))?;
            wait_until("its list is read", TIMEOUT, || Ok(client.reading(&user)?.is_complete))?;
            let (token_id, _) = client.accounts(&user)?.pop().context("no account")?;
            accounts.push(Account { seller: seller.clone(), token_id });
        }
    }
    Ok(accounts)
}

/// Applies the disturbances in turn while orders arrive.
fn strike(
    stack: &mut Stack,
    client: &Client,
    (kills, orders, outage): (u32, u32, Duration),
    started: Instant,
) -> Result<Kills> {
    let mut kill_counts = Kills::default();
    for kill in 0..kills {
        // Spread over the time in which orders arrive.
        let at = u64::from(orders) * u64::from(kill + 1) / u64::from(kills + 1);
        wait_until("orders arrive", Duration::from_hours(1), || Ok(client.arrived()? >= at))?;
        if kill == kills / 2 && !outage.is_zero() {
            stack.kill("allegro-backup")?;
            println!("[{:>6.1} s] allegro-backup away for {outage:?}", started.elapsed().as_secs_f32());
            sleep(outage);
            stack.start_again("allegro-backup")?;
            println!("[{:>6.1} s] allegro-backup is back", started.elapsed().as_secs_f32());
        }
        let victim = VICTIMS.iter().cycle().nth(usize::try_from(kill)?).context("nobody to kill")?;
        let is_busy = || Ok(stack.ask("stock_sync", UNDER_WAY)?.trim().parse::<u64>()? > 0);
        wait_until("orders are under way", TIMEOUT, is_busy)?;
        kill_counts.note(is_busy()?);
        if SERVERS.contains(victim) {
            stack.servers().kill(victim)?;
            stack.servers().start_again(victim)?;
        } else {
            stack.kill(victim)?;
            stack.start_again(victim)?;
        }
        let arrived = client.arrived()?;
        println!(
            "[{:>6.1} s] {victim} killed; {arrived} orders have arrived",
            started.elapsed().as_secs_f32()
        );
    }
    Ok(kill_counts)
}

/// Waits until all guarantees hold, or the time limit passes, and prints each of them.
fn judge(
    stack: &Stack,
    (allegro, stock_sync): (&Allegro, &Stock),
    accounts: &[Account],
    past: &stock_expected::Ids,
    started: Instant,
) -> Result<bool> {
    let (started_at, mut checks) = (Instant::now(), 0_u32);
    let verdict = loop {
        // A reconciliation of an account takes a while. It is not repeated while orders are in progress.
        wait_until("nothing is under way", RECOVERY_TIMEOUT, || {
            Ok(stack.ask("stock_sync", UNDER_WAY)?.trim() == "0")
        })?;
        let verdict = ExpectedStock::read(allegro, accounts)?.judge(stack, stock_sync, past, UNITS)?;
        checks += 1;
        if verdict.is_met() || started_at.elapsed() > RECOVERY_TIMEOUT {
            break verdict;
        }
        sleep(Duration::from_secs(5));
    };
    let (recovery, whole) = (started_at.elapsed().as_secs(), started.elapsed().as_secs());
    println!("{recovery} s after the last order, {whole} s in all, at check {checks}:\n");
    verdict.print();
    let (mut checked, mut differing) = (0, 0);
    for account in accounts {
        let report = stock_sync.reconcile(&account.token_id)?;
        checked += report.get("total_checked").and_then(Value::as_u64).unwrap_or_default();
        differing += report.get("discrepancies").and_then(Value::as_array).map_or(0, Vec::len);
    }
    println!("  the reconciliation compares {checked} orders and finds {differing} that differ");
    let verified = stack.run_service("stock-sync", &["verify"]);
    let is_verified = verified.is_ok();
    println!("  verify: {}", verified.unwrap_or_else(|error| format!("{error:#}")).trim());
    println!("  status: {}", stock_sync.status()?);
    Ok(verdict.is_met() && differing == 0 && is_verified)
}
