//! Tests an order's path from Allegro to a subscriber: both services, Postgres and RabbitMQ are killed while they work.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder};

use super::{Kills, TIMEOUT, Windows, reading};
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::{settle, wait_until};

const USER: &str = "sklep-chaos";
/// Latency of Allegro's answers, as over a real network, so that work is always in flight.
const ALLEGRO_DELAY: Duration = Duration::from_millis(120);
/// Latency of the receiver.
const RECEIVER_DELAY: Duration = Duration::from_millis(4);

/// Kills allegro-backup while it reads the list, webhook-dispatcher while it delivers, and Postgres and RabbitMQ once
/// each.
pub(super) fn run(kills: u32, orders: u32) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(Profile::Demo, &names)?;
    let started = Instant::now();
    let client = Client::new(&stack)?;
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), RECEIVER_DELAY)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    client.make_orders(None, orders)?;
    client.slow_down(ALLEGRO_DELAY)?;
    client.connect(USER, None)?;

    let backup = reading::kill(&mut stack, &client, ("allegro-backup", USER), kills, |stack, kill| {
        if kill == kills / 2 {
            stack.servers().kill("postgres")?;
            stack.servers().start_again("postgres")?;
            println!("[{:>5.1} s] Postgres killed and started again", started.elapsed().as_secs_f32());
        }
        Ok(())
    })?;
    client.slow_down(Duration::ZERO)?;

    let (mut webhooks, mut windows) = (Kills::default(), Windows::default());
    client.go_live(None, orders / 5, orders / 50, 5)?;
    for kill in 0..kills {
        wait_until("a webhook is on its way", TIMEOUT, || Ok(subscriber.in_flight() > 0))?;
        sleep(Duration::from_millis(u64::from(kill * 37 % 200)));
        let mut polls = 0;
        while subscriber.in_flight() == 0 && polls < 1000 {
            polls += 1;
            sleep(Duration::from_millis(1));
        }
        let in_flight = subscriber.in_flight();
        let window = windows.kill(&mut stack, "webhook-dispatcher", &client, &subscriber)?;
        webhooks.note(in_flight > 0);
        println!(
            "[{:>5.1} s] webhook-dispatcher killed with {in_flight} requests in flight and a window of {window}, {} received",
            started.elapsed().as_secs_f32(),
            subscriber.total()
        );
        if kill == kills / 2 {
            stack.servers().kill("rabbitmq")?;
            stack.servers().start_again("rabbitmq")?;
            println!("[{:>5.1} s] RabbitMQ killed and started again", started.elapsed().as_secs_f32());
        }
        stack.start_again("webhook-dispatcher")?;
    }
    webhooks.print("webhook-dispatcher");

    wait_until("all new orders have arrived", TIMEOUT, || Ok(client.arrived()? >= u64::from(orders / 5)))?;
    let table = settle(&client, &subscriber, &[USER], windows.sum(), TIMEOUT)?;
    table.print();
    windows.print(subscriber.received().repeated());
    println!("took {:.0} s", started.elapsed().as_secs_f32());
    let is_passed = table.is_met() && backup.is_valid() && webhooks.is_valid();
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
