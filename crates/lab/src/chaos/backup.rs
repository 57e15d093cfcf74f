//! Tests allegro-backup under all known faults of Allegro for a given time, and kills it while it reads a list.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder};

use super::replicas::{REPLICAS, VICTIMS};
use super::{Kills, TIMEOUT, reading};
use crate::compare::compare;
use crate::demo::allegro::Allegro;
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::wait_until;

/// Number of shops. The first one is the sandbox's own.
const SHOPS: u32 = 5;
/// The seller of a new sandbox.
const FIRST_SELLER: &str = "1000001";
/// New orders per second, over all shops.
const RATE: u64 = 5;
/// Latency of Allegro's answers, as over a real network.
const ALLEGRO_DELAY: Duration = Duration::from_millis(40);
/// The same while a list is read, so that the read takes long enough to be killed.
const LIST_DELAY: Duration = Duration::from_millis(250);
/// Interval between disturbances, and which of them revokes all tokens of a shop instead of killing a process.
const PAUSE: Duration = Duration::from_secs(8);
const TOKEN_BLOW: u32 = 6;
/// Time limit of recovery after the faults end.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(10);
/// Attempts of connecting a shop while Allegro has faults.
const TRIES: u32 = 10;

/// A shop, and the user who connected it.
struct Shop {
    user: String,
    seller: String,
}

/// One in twenty requests fails, in one of the known ways.
fn faults() -> Value {
    let api = ["me", "event-stats", "events", "orders", "order"];
    json!([
        { "routes": api, "error_rate": 0.01, "status": 500, "seed": 1 },
        { "routes": api, "error_rate": 0.01, "status": 503, "html": true, "seed": 2 },
        { "routes": api, "truncate_rate": 0.01, "seed": 3 },
        { "routes": api, "reset_rate": 0.01, "seed": 4 },
        { "routes": api, "garbage_rate": 0.005, "seed": 5 },
        { "routes": api, "timeout_rate": 0.005, "timeout_ms": 12_000, "seed": 6 },
        { "routes": ["token"], "lost_rate": 0.02, "seed": 7 },
        { "delay_ms": ALLEGRO_DELAY.as_millis() },
    ])
}

fn stumbles() -> Value {
    json!({ "journal": {
        "duplicate_rate": 0.05, "disorder_rate": 0.05, "cancel_first_rate": 0.05, "delay_rate": 0.05, "delay_seconds": 20,
        "missing_rate": 0.05, "resend_seconds": 60,
    } })
}

/// Faults, kills and revoked tokens for this time. Afterwards everything must recover.
pub(super) fn soak(lasting: Duration, orders: u32) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let mut stack = Stack::start(Profile::Demo, &[])?;
    for (name, service, roles) in REPLICAS {
        stack.start_replica(name, service, roles)?;
    }
    let (client, allegro) = (Client::new(&stack)?, Allegro::new(&stack));
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    let shops = open_shops(&client, orders / SHOPS)?;

    allegro.rule(&stumbles())?;
    for fault in faults().as_array().into_iter().flatten() {
        allegro.fail(fault)?;
    }
    let count = lasting.as_secs() * RATE;
    allegro.go_live(&json!({
        "count": count, "rate_per_second": RATE, "all_sellers": true, "cancel_percent": 5, "change_percent": 50,
        "merge_percent": 5, "seed": 1,
    }))?;
    let (kills, revoked) = strike(&mut stack, &client, &allegro, &shops, lasting)?;
    let arrived = allegro.stop_live()?;
    println!("\n{arrived} orders arrived, {kills} kills, {revoked} shops lost their tokens; the faults stop");

    allegro.heal()?;
    allegro.forget_rules()?;
    allegro.flush()?;
    reconnect_all(&client, &shops)?;
    // The full sync finds what no event reports. By itself it runs every six hours.
    for shop in &shops {
        client.read_list_again(&shop.user)?;
    }
    judge(&stack, &client, &allegro, &subscriber, &shops)
}

/// Kills the backup while it reads the list of one shop. Afterwards every order must be stored and published once.
pub(super) fn load(kills: u32, orders: u32) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(Profile::Demo, &names)?;
    let (client, allegro) = (Client::new(&stack)?, Allegro::new(&stack));
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    client.make_orders(None, orders)?;
    client.slow_down(LIST_DELAY)?;
    let shops = [Shop { user: "sklep-00".to_owned(), seller: FIRST_SELLER.to_owned() }];
    client.connect("sklep-00", None)?;
    let kill_counts: Kills =
        reading::kill(&mut stack, &client, ("allegro-backup", "sklep-00"), kills, |_, _| Ok(()))?;
    allegro.heal()?;
    wait_until("the list is read", RECOVERY_TIMEOUT, || Ok(client.reading("sklep-00")?.is_complete))?;
    let code = judge(&stack, &client, &allegro, &subscriber, &shops)?;
    Ok(if kill_counts.is_valid() { code } else { ExitCode::FAILURE })
}

fn open_shops(client: &Client, orders: u32) -> Result<Vec<Shop>> {
    let mut shops = Vec::new();
    for number in 0..SHOPS {
        let user = format!("sklep-{number:02}");
        let seller = if number == 0 { FIRST_SELLER.to_owned() } else { client.add_seller(&user)? };
        client.make_orders(Some(&seller), orders)?;
        client.connect(&user, Some(&seller))?;
        shops.push(Shop { user, seller });
    }
    for shop in &shops {
        wait_until("the lists are read", TIMEOUT, || Ok(client.reading(&shop.user)?.is_complete))?;
    }
    Ok(shops)
}

/// Applies the disturbances in turn. Returns how many processes were killed, and how many shops lost their tokens.
fn strike(
    stack: &mut Stack,
    client: &Client,
    allegro: &Allegro,
    shops: &[Shop],
    lasting: Duration,
) -> Result<(u32, u32)> {
    let started = Instant::now();
    let (mut kills, mut revoked) = (0, 0);
    for blow in 1.. {
        sleep(PAUSE);
        if started.elapsed() > lasting {
            break;
        }
        let at = started.elapsed().as_secs_f32();
        if blow % TOKEN_BLOW == 0 {
            let shop = shops.iter().cycle().nth(usize::try_from(revoked)?).context("there is no shop")?;
            allegro.kill_tokens(&shop.seller)?;
            wait_until("the service knows that its tokens are dead", TIMEOUT, || is_cut_off(client, shop))?;
            println!("[{at:>6.1} s] {} has lost its tokens, and connects again", shop.user);
            reconnect(client, shop)?;
            revoked += 1;
        } else {
            let victim = VICTIMS.iter().cycle().nth(usize::try_from(kills)?).context("nobody to kill")?;
            stack.kill(victim)?;
            println!("[{at:>6.1} s] {victim} killed");
            stack.start_again(victim)?;
            kills += 1;
        }
    }
    Ok((kills, revoked))
}

fn is_cut_off(client: &Client, shop: &Shop) -> Result<bool> {
    Ok(client.accounts(&shop.user)?.iter().all(|(_, state)| state == "needs_reauthorization"))
}

/// Begins new authorizations until one succeeds: answers get lost while Allegro has faults.
fn reconnect(client: &Client, shop: &Shop) -> Result<()> {
    for _ in 1..TRIES {
        if client.connect(&shop.user, Some(&shop.seller)).is_ok() {
            return Ok(());
        }
    }
    client.connect(&shop.user, Some(&shop.seller))
}

fn reconnect_all(client: &Client, shops: &[Shop]) -> Result<()> {
    for shop in shops {
        if is_cut_off(client, shop)? {
            reconnect(client, shop)?;
        }
    }
    Ok(())
}

/// Waits until all guarantees hold, or the time limit passes, and prints each of them.
fn judge(
    stack: &Stack,
    client: &Client,
    allegro: &Allegro,
    subscriber: &Subscriber,
    shops: &[Shop],
) -> Result<ExitCode> {
    let started_at = Instant::now();
    let sellers: Vec<String> = shops.iter().map(|shop| shop.seller.clone()).collect();
    let (comparison, announced, green) = loop {
        let comparison = compare(stack, allegro, &sellers)?;
        let announced = unannounced(allegro, subscriber, &sellers)?;
        let green = not_green(client, shops)?;
        let is_done = comparison.is_equal() && announced == 0 && green.as_ref().is_none_or(Vec::is_empty);
        if is_done || started_at.elapsed() > RECOVERY_TIMEOUT {
            break (comparison, announced, green);
        }
        sleep(Duration::from_secs(2));
    };
    println!("after {:.0} s:\n", started_at.elapsed().as_secs_f32());
    let mut is_met = true;
    let mut print = |promise: &str, holds: bool, how: String| {
        println!("  {promise:<58} {} {how}", if holds { "yes" } else { "NO " });
        is_met &= holds;
    };
    print(
        "every order is stored as it is at Allegro",
        comparison.is_equal(),
        format!(
            "{} there, {} stored; {}",
            comparison.source,
            comparison.stored,
            comparison.differences.join("; ")
        ),
    );
    match green {
        Some(open) => print("the completeness report is complete", open.is_empty(), open.join("; ")),
        None => println!("  the service has no completeness report yet"),
    }
    print("every order is published", announced == 0, format!("{announced} are not"));
    let received = subscriber.received();
    for kind in ["order.created", "order.ready"] {
        let twice = received.told_twice(kind);
        print(
            &format!("{kind} is published once per order"),
            twice == 0,
            format!("{twice} were published twice"),
        );
    }
    print("every signature verifies", received.forged == 0, String::new());
    match verify(stack, client, shops)? {
        Some(different) => print("verify finds no difference", different.is_empty(), different.join("; ")),
        None => println!("  the service has no command `verify` yet"),
    }
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Number of orders at Allegro that were not published to the subscriber.
fn unannounced(allegro: &Allegro, subscriber: &Subscriber, sellers: &[String]) -> Result<usize> {
    let published: BTreeSet<String> = subscriber.received().of("order.created");
    let mut missing = 0;
    for seller in sellers {
        allegro.each_order(seller, |line| {
            let id = line.get("order_id").and_then(Value::as_str).unwrap_or_default();
            missing += usize::from(!published.contains(id));
            Ok(())
        })?;
    }
    Ok(missing)
}

/// The differences that the service's own command finds. `None` if there is no such command.
fn verify(stack: &Stack, client: &Client, shops: &[Shop]) -> Result<Option<Vec<String>>> {
    let mut different = Vec::new();
    for shop in shops {
        for (token_id, _) in client.accounts(&shop.user)? {
            match stack.run_service("allegro-backup", &["verify", "--token", &token_id]) {
                Ok(_printed) => {}
                Err(error) if format!("{error:#}").contains("unrecognized subcommand") => return Ok(None),
                Err(error) => different.push(format!("{}: {error:#}", shop.user)),
            }
        }
    }
    Ok(Some(different))
}

/// The accounts without a complete report. `None` if the service has no such report.
fn not_green(client: &Client, shops: &[Shop]) -> Result<Option<Vec<String>>> {
    let mut open = Vec::new();
    for shop in shops {
        for (token_id, _) in client.accounts(&shop.user)? {
            let Some(report) = client.gaps(&token_id)? else { return Ok(None) };
            if report.get("is_green").and_then(Value::as_bool) != Some(true) {
                let orders = report.get("open").and_then(Value::as_array).map_or(0, Vec::len);
                open.push(format!("{} is not ({orders} orders)", shop.user));
            }
        }
    }
    Ok(Some(open))
}
