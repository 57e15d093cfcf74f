//! Makes each dependency unavailable for a time, under load, and records the services' answers and the time to
//! recovery.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::Result;
use stack::build::{self, Profile};
use stack::{SERVICES, Stack, holder};

use super::TIMEOUT;
use super::windows::LARGEST;
use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::demo::{settle, wait_until};

const USER: &str = "sklep-awaria";
/// New orders per second during the whole test.
const RATE: u32 = 10;
const LOOK: Duration = Duration::from_millis(200);
/// Minimum number of answers during an outage. Fewer would prove nothing.
const LOOKS: usize = 5;
const DEPENDENCIES: [&str; 3] = ["postgres", "redis", "rabbitmq"];

/// One answer.
struct Answer {
    question: &'static str,
    at: Instant,
    /// HTTP status; 0 without an answer.
    status: u16,
    /// Duration of the request.
    took: Duration,
}

/// Sends requests to one service repeatedly.
struct Watch {
    service: &'static str,
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(service: &'static str, base: &str, list: &str, token: String) -> Self {
        let questions = [
            ("/livez", format!("{base}/livez")),
            ("/readyz", format!("{base}/readyz")),
            ("lists", format!("{base}/api/v1{list}")),
        ];
        let (answers, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let thread = spawn(move || {
            let limit = Some(Duration::from_secs(35));
            let config = ureq::Agent::config_builder().timeout_global(limit).http_status_as_error(false);
            let agent: ureq::Agent = config.build().into();
            while !stopped.load(Ordering::Relaxed) {
                for (question, url) in &questions {
                    let began = Instant::now();
                    let asked = agent.get(url).header("Authorization", format!("Bearer {token}")).call();
                    let status = asked.map_or(0, |answer| answer.status().as_u16());
                    let answer = Answer { question, at: Instant::now(), status, took: began.elapsed() };
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                }
                sleep(LOOK);
            }
        });
        Self { service, answers, stop, thread: Some(thread) }
    }

    fn last(&self, question: &str) -> Option<u16> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().rev().find(|answer| answer.question == question).map(|answer| answer.status)
    }

    /// Its answers from `down` to `up`, when it was first not ready, and when it was ready again.
    fn print(&self, dependency: &str, down: Instant, up: Instant) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let during = |question: &str| {
            let mut counts = BTreeMap::<u16, usize>::new();
            for answer in answers.iter().filter(|it| it.question == question && it.at > down && it.at < up) {
                *counts.entry(answer.status).or_default() += 1;
            }
            counts.iter().map(|(status, count)| format!("{status}×{count}")).collect::<Vec<_>>().join(" ")
        };
        let times = |question: &str| {
            let asked = answers.iter().filter(|it| it.question == question && it.at > down && it.at < up);
            let mut took: Vec<Duration> = asked.map(|it| it.took).collect();
            took.sort_unstable();
            let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().max(1) - 1));
            let shown = |it: Option<&Duration>| it.map_or(0.0, |it| it.as_secs_f64() * 1e3);
            format!("{:.0} / {:.0} ms", shown(at(50)), shown(at(99)))
        };
        let first = |question: &str, since: Instant, is_wanted: fn(u16) -> bool| {
            let found =
                answers.iter().find(|it| it.question == question && it.at > since && is_wanted(it.status));
            found.map_or_else(|| "never".to_owned(), |it| format!("{:.1} s", (it.at - since).as_secs_f32()))
        };
        println!(
            "| {dependency} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.service,
            during("/livez"),
            during("/readyz"),
            during("lists"),
            times("lists"),
            first("/readyz", down, |status| status != 200),
            first("/readyz", up, |status| status == 200),
            first("lists", up, |status| status == 200),
        );
        // It must be alive all the time, and answer 503 to what it cannot do, never another 5xx. Without Redis it must
        // continue to work.
        let is_honest = answers.iter().filter(|it| it.at > down).all(|it| match it.question {
            "/livez" => it.status == 200,
            _ => matches!(it.status, 200 | 503),
        });
        let away = || answers.iter().filter(|it| it.at > down && it.at < up);
        let is_told = away().any(|it| it.question == "/readyz" && it.status == 503);
        let is_asked = away().filter(|it| it.question == "/livez").count() >= LOOKS;
        is_honest && is_asked && is_told == (dependency != "redis")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread does not panic. If it did, its answers so far have been counted.
            let _ended = thread.join();
        }
    }
}

/// Makes Postgres, Redis and RabbitMQ unavailable for this time each, while orders arrive.
pub(super) fn run(outage: Duration) -> Result<ExitCode> {
    let _lock = holder::lock()?;
    build::stack(Profile::Demo)?;
    let names: Vec<String> = SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let mut stack = Stack::start(Profile::Demo, &names)?;
    let client = Client::new(&stack)?;
    let subscriber = Subscriber::start(&stack::folder().join("subscriber.ndjson"), Duration::ZERO)?;
    subscriber.trust(&client.subscribe(&subscriber.url)?)?;
    client.make_orders(None, 1000)?;
    client.connect(USER, None)?;
    wait_until("the list is read", TIMEOUT, || Ok(client.reading(USER)?.is_complete))?;

    let watches = [
        ("allegro-backup", "ALLEGRO_BACKUP_URL", format!("/orders/{USER}")),
        ("webhook-dispatcher", "WEBHOOK_DISPATCHER_URL", "/webhooks".to_owned()),
    ]
    .map(|(name, url, list)| {
        Ok::<_, anyhow::Error>(Watch::start(name, stack.address(url), &list, stack.token()?))
    });
    let watches = watches.into_iter().collect::<Result<Vec<_>>>()?;

    println!(
        "| away | service | /livez | /readyz | lists | lists p50 / p99 | not ready after | ready again after | lists again after |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut is_passed = true;
    for dependency in DEPENDENCIES {
        // Enough for the outage and some time before and after it.
        let orders = RATE * u32::try_from(outage.as_secs() + 10)?;
        client.go_live(None, orders, RATE, 5)?;
        wait_until("orders come in", TIMEOUT, || Ok(client.arrived()? > 20))?;
        let down = Instant::now();
        stack.servers().kill(dependency)?;
        sleep(outage.saturating_sub(down.elapsed()));
        stack.servers().start_again(dependency)?;
        let up = Instant::now();
        wait_until("all are ready again", TIMEOUT, || {
            Ok(watches.iter().all(|it| it.last("/readyz") == Some(200) && it.last("lists") == Some(200)))
        })?;
        wait_until("all orders came in", TIMEOUT, || Ok(client.arrived()? >= u64::from(orders)))?;
        for watch in &watches {
            is_passed &= watch.print(dependency, down, up);
        }
    }
    // An outage of Postgres may outlast the leases of unrecorded deliveries, which are at most a window.
    let table = settle(&client, &subscriber, &[USER], LARGEST, TIMEOUT)?;
    table.print();
    Ok(if is_passed && table.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
