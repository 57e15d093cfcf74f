//! Benchmarks allegro-backup: first sync compared with COPY and upsert, events at 50 a second, 1,000 accounts, and
//! growth.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use stack::build::{self, Profile};
use stack::{Stack, holder};

use super::first_sync::{self, FirstSync};
use super::usage::Usage;
use super::{TIMEOUT, all_published, backup_print, table};
use crate::compare::compare;
use crate::demo::allegro::Allegro;
use crate::demo::client::Client;
use crate::demo::wait_until;

/// Events per second. Each arriving order causes three.
const EVENTS: f64 = 50.0;
const EVENTS_OF_AN_ORDER: f64 = 3.0;
/// Orders of the syncs whose times are compared as the number of stored orders grows.
const SAMPLE: u32 = 10_000;
/// Orders of each of many accounts.
const FEW: u32 = 20;
/// Poll interval of each journal, with many accounts.
const MINUTE: Duration = Duration::from_mins(1);
/// Maximum delay of a poll: due schedules are claimed each second, and all accounts were connected within a few
/// seconds.
const LATE: Duration = Duration::from_secs(3);
/// Connections that read the sandbox directly, and for how long.
const READERS: u32 = 4;
const READ_FOR: Duration = Duration::from_secs(3);

/// Size of the measurement.
pub(super) struct Size {
    pub(super) orders: u32,
    pub(super) rounds: usize,
    pub(super) accounts: u32,
    pub(super) live: Duration,
    pub(super) is_full: bool,
}

pub(super) const FULL: Size =
    Size { orders: 100_000, rounds: 3, accounts: 1000, live: Duration::from_secs(30), is_full: true };
pub(super) const QUICK: Size =
    Size { orders: 10_000, rounds: 1, accounts: 50, live: Duration::from_secs(5), is_full: false };

/// Results of one round.
pub(super) struct Round {
    /// Orders per second that the sandbox serves to a reader that discards them.
    pub(super) sandbox: f64,
    pub(super) raw: f64,
    pub(super) sync: f64,
    pub(super) cores: f64,
    /// Time after the sync until the broker has every event.
    pub(super) published_after: Duration,
    pub(super) quarters: [u64; 4],
    pub(super) peak_megabytes: u64,
    /// Milliseconds from the time at which an event was shown, or written, until its order was committed.
    pub(super) shown: (f64, f64),
    pub(super) written: (f64, f64),
    /// Orders per second of the sample, with an empty database and with ever more stored orders.
    pub(super) growth: Vec<(u32, f64)>,
    /// Accounts polled within a minute, and the CPU time of that in cores.
    pub(super) polled: u32,
    pub(super) polling_cores: f64,
}

pub(super) fn run(size: &Size, million: bool) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Release)?;
    let rounds = table::rounds(size.rounds, || measure(size, million))?;
    table::conclude(&backup_print::rows(size, &rounds), &rounds, size.is_full.then_some("backup"))
}

/// Measures only the polling of many accounts, which takes a few minutes.
pub(super) fn accounts(size: &Size) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Release)?;
    let (polled, cores) = many(size.accounts)?;
    if polled < size.accounts || cores > backup_print::CORES {
        bail!("missed: {polled} of {} accounts with {cores:.2} cores", size.accounts);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(size: &Size, million: bool) -> Result<Round> {
    let mut stack = alone(&[])?;
    let (client, allegro) = (Client::new(&stack)?, Allegro::new(&stack));
    allegro.rule(&json!({ "limits": { "requests_per_minute": 0 } }))?;
    let mut growth = vec![(0, sample(&mut stack, &client, "first", SAMPLE.min(size.orders))?.1)];

    let seller = client.add_seller("sklep-duzy")?;
    client.make_orders(Some(&seller), size.orders)?;
    let sandbox = sandbox_alone(&stack, &allegro, &seller, size.orders)?;
    all_published(&stack)?;
    let user = "sklep-duzy";
    let synced = first_sync::measure(&mut stack, &client, user, Some(&seller))?;
    let published_after = all_published(&stack)?;
    let raw = first_sync::raw(&stack, user)?;
    print_sync("first sync", &synced, size.orders);
    let mut sellers = vec![seller.clone()];
    let mut stored = size.orders + SAMPLE.min(size.orders);
    let (id, speed) = sample(&mut stack, &client, "second", SAMPLE.min(size.orders))?;
    sellers.push(id);
    growth.push((stored, speed));
    if million {
        let (id, _speed) = sample(&mut stack, &client, "million", 1_000_000)?;
        stored += 1_000_000 + SAMPLE;
        sellers.push(id);
        let (id, speed) = sample(&mut stack, &client, "third", SAMPLE)?;
        sellers.push(id);
        growth.push((stored, speed));
    }
    let (shown, written) = events(&stack, &client, &allegro, &seller, size.live)?;
    let comparison = compare(&stack, &allegro, &sellers)?;
    if !comparison.is_equal() {
        bail!("what is stored differs from the source: {}", comparison.differences.join("; "));
    }
    drop(stack);
    let (polled, polling_cores) = many(size.accounts)?;
    Ok(Round {
        sandbox,
        raw: f64::from(size.orders) / raw.as_secs_f64(),
        sync: f64::from(size.orders) / synced.elapsed.as_secs_f64(),
        cores: synced.cores,
        published_after,
        quarters: synced.quarters,
        peak_megabytes: synced.peak_megabytes,
        shown,
        written,
        growth,
        polled,
        polling_cores,
    })
}

/// A stack in which only allegro-backup works. The dispatcher has bound its queue, so that events are routed, and is
/// stopped.
fn alone(settings: &[(&'static str, &str)]) -> Result<Stack> {
    let names = ["allegro-backup", "webhook-dispatcher"].map(str::to_owned);
    let mut stack = Stack::start_with(Profile::Release, &names, settings)?;
    stack.kill("webhook-dispatcher")?;
    Ok(stack)
}

fn print_sync(what: &str, synced: &FirstSync, orders: u32) {
    let per_second = f64::from(orders) / synced.elapsed.as_secs_f64();
    println!("  {what}: {per_second:.0} orders a second, {} MB at most", synced.peak_megabytes);
}

/// First sync of another account. Returns its seller and the orders per second.
fn sample(stack: &mut Stack, client: &Client, name: &str, orders: u32) -> Result<(String, f64)> {
    let user = format!("sklep-{name}");
    let seller = client.add_seller(&user)?;
    client.make_orders(Some(&seller), orders)?;
    all_published(stack)?;
    let synced = first_sync::measure(stack, client, &user, Some(&seller))?;
    print_sync(&format!("the {name} account"), &synced, orders);
    Ok((seller, f64::from(orders) / synced.elapsed.as_secs_f64()))
}

/// Measures how many orders per second the sandbox serves to readers that discard them.
fn sandbox_alone(stack: &Stack, allegro: &Allegro, seller: &str, orders: u32) -> Result<f64> {
    let list = format!("{}/order/checkout-forms?limit=100", stack.address("SANDBOX_URL"));
    let bearer = format!("Bearer {}", allegro.access_token(seller)?);
    let begun = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (list, bearer) = (list.clone(), bearer.clone());
            spawn(move || -> Result<u32> {
                let agent: ureq::Agent = ureq::Agent::new_with_defaults();
                let mut pages = 0;
                while begun.elapsed() < READ_FOR {
                    let offset = (reader + pages * READERS) * 100 % orders.min(9900);
                    let url = format!("{list}&offset={offset}");
                    let mut answer = agent.get(url).header("Authorization", &bearer).call()?;
                    answer.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
                    pages += 1;
                }
                Ok(pages)
            })
        })
        .collect();
    let mut pages = 0;
    for reader in readers {
        pages += reader.join().ok().context("a reader panicked")??;
    }
    Ok(f64::from(pages) * 100.0 / begun.elapsed().as_secs_f64())
}

/// Generates events at a steady rate, and returns p50 and p99 of the milliseconds until they were stored: from the time
/// at which they were shown to the service, and from the time at which they were written.
fn events(
    stack: &Stack,
    client: &Client,
    allegro: &Allegro,
    seller: &str,
    lasting: Duration,
) -> Result<((f64, f64), (f64, f64))> {
    let rate = EVENTS / EVENTS_OF_AN_ORDER;
    let before = allegro.events(seller)?.len();
    let count = Duration::from_secs_f64(lasting.as_secs_f64() * rate).as_secs();
    allegro.go_live(&json!({ "count": count, "rate_per_second": rate, "seller_id": seller }))?;
    let expected = usize::try_from(count)? * 3 + before;
    wait_until("all new orders have arrived", TIMEOUT, || Ok(client.arrived()? >= count))?;
    wait_until("all events were shown", TIMEOUT, || Ok(allegro.events(seller)?.len() >= expected))?;
    let mut stored = HashMap::new();
    wait_until("all events are stored", TIMEOUT, || {
        stored = commits(stack, seller)?;
        Ok(allegro.events(seller)?.iter().all(|event| stored.contains_key(&event.id)))
    })?;
    let (mut shown, mut written) = (Vec::new(), Vec::new());
    for event in allegro.events(seller)? {
        let at = stored.get(&event.id).copied().context("an event was stored and is not")?;
        let milliseconds =
            |since: i64| Ok::<_, anyhow::Error>(f64::from(i32::try_from(at - since)?) / 1000.0);
        shown.push(milliseconds(event.served_at)?);
        written.push(milliseconds(event.written_at)?);
    }
    if shown.is_empty() {
        bail!("no event came");
    }
    Ok((percentiles(shown), percentiles(written)))
}

/// When each event of a seller was committed, in microseconds since the epoch.
fn commits(stack: &Stack, seller: &str) -> Result<HashMap<String, i64>> {
    let rows = stack.ask(
        "allegro_backup",
        &format!(
            "SELECT event_id || ' ' || (extract(epoch FROM pg_xact_commit_timestamp(e.xmin)) * 1000000)::bigint \
             FROM order_events e JOIN user_tokens t ON t.id = e.token_id WHERE t.allegro_seller_id = '{seller}'"
        ),
    )?;
    rows.lines()
        .map(|row| {
            let (id, at) = row.split_once(' ').with_context(|| format!("no event: {row:?}"))?;
            Ok((id.to_owned(), at.parse()?))
        })
        .collect()
}

/// The median and the 99th percentile.
fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (values.len() * percent / 100).min(values.len().saturating_sub(1));
        values.get(place).copied().unwrap_or(f64::NAN)
    };
    (at(50), at(99))
}

/// Polls the journals of many accounts once a minute. Returns how many were polled within one minute, and the CPU time
/// of that.
fn many(accounts: u32) -> Result<(u32, f64)> {
    let interval = MINUTE.as_secs().to_string();
    let settings = [("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", interval.as_str())];
    let mut stack = alone(&settings)?;
    let (client, allegro) = (Client::new(&stack)?, Allegro::new(&stack));
    allegro.rule(&json!({ "limits": { "requests_per_minute": 0 } }))?;
    let mut begun = Vec::new();
    for number in 0..accounts {
        let user = format!("sklep-{number:04}");
        let seller = client.add_seller(&user)?;
        client.make_orders(Some(&seller), FEW)?;
        begun.push(client.authorize(&user, Some(&seller))?);
    }
    for id in &begun {
        client.wait_for_connection(id)?;
    }
    let followed = "SELECT count(*) FROM sync_cursors WHERE last_events_sync IS NOT NULL";
    wait_until("all journals are followed", TIMEOUT, || {
        Ok(stack.ask("allegro_backup", followed)?.trim().parse::<u32>()? >= accounts)
    })?;
    let process = stack.process("allegro-backup")?;
    let (before, started) = (Usage::of(process)?, Instant::now());
    let since = stack.ask("allegro_backup", "SELECT now()")?;
    sleep(MINUTE + LATE);
    let cores = Usage::of(process)?.cores_since(before, started.elapsed());
    let sql = format!("SELECT count(*) FROM sync_cursors WHERE last_events_sync >= '{}'", since.trim());
    let polled = stack.ask("allegro_backup", &sql)?.trim().parse()?;
    println!("  {polled} of {accounts} accounts polled within a minute, {cores:.2} cores");
    Ok((polled, cores))
}
