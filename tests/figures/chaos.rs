//! Kills or stops two replicas in turn while events are published steadily. One endpoint hangs, one fails, and the others are
//! healthy. In the end every event must have arrived.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Program, eventually, eventually_within, tell};
use tokio::time::timeout;
use uuid::Uuid;

use crate::sink::{Manner, times};
use crate::stage::{Stage, Subscribed};

/// Facts a second; each goes to five endpoints.
const RATE: u32 = 300;
/// Healthy endpoints.
const HEALTHY: usize = 3;
/// A receiver that does some work of its own.
const WORK: Duration = Duration::from_millis(5);
/// The largest window of one endpoint (`WEBHOOK_MAX_WINDOW`).
const LARGEST_WINDOW: usize = 128;
/// The largest p99 delay of healthy endpoints while all replicas are replaced.
const LATE: Duration = Duration::from_secs(5);
/// Within this all must be delivered once the one that hung is well.
const HEALING: Duration = Duration::from_mins(4);

/// How a replica ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGKILL, with a delivery under way.
    Kill,
    /// By SIGTERM, as in a rolling restart.
    Stop,
}

/// Counts of the replicas' ends.
struct Ends {
    how: End,
    number: u32,
    /// Ends that hit a delivery in flight.
    fair: u32,
    /// The sum of the windows at the kills: the most webhooks that they may have repeated.
    windows: usize,
}

/// Ends one of two replicas `number` times, and returns the counts.
pub(crate) async fn run(binary: &'static str, number: u32, how: End) -> Value {
    let mut stage = Stage::new(binary).await;
    let quick = json!({ "timeout_seconds": 1, "retry_schedule": vec![1; 20] });
    let healthy: Vec<Subscribed> = (0..HEALTHY)
        .map(|_| stage.subscribe(Manner::Working(WORK), &json!({ "timeout_seconds": 1 })))
        .collect();
    let flaky = stage.subscribe(Manner::Flaky, &quick);
    let hanging = stage.subscribe(Manner::Hanging, &quick);
    for subscribed in healthy.iter().chain([&flaky, &hanging]) {
        stage.sink.verify(subscribed.endpoint, &subscribed.secret);
    }
    let mut replica = stage.service.replica();
    let mut teller = stage.teller().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::clone(&is_over);
    let telling = tokio::spawn(async move {
        teller.tell_while(RATE, || !goes_on.load(Ordering::SeqCst)).await;
        teller.told
    });
    let mut ends = Ends { how, number, fair: 0, windows: 0 };
    for kill in 0..number {
        let victim: &mut Program = if kill % 2 == 0 { &mut stage.service } else { &mut replica };
        let moment = Duration::from_millis(u64::from(1000 + kill * 37 % 500));
        let _elapsed = timeout(moment, std::future::pending::<()>()).await;
        let sink = &stage.sink;
        eventually("a delivery to be under way", async || (sink.in_flight() > 0).then_some(())).await;
        ends.fair += u32::from(sink.in_flight() > 0);
        match how {
            End::Kill => {
                let (received, window) = (sink.total(), window(victim));
                victim.kill();
                // The window grows with each recorded delivery: those unconfirmed at the reading, and those received since.
                let grown = 2 * window + (sink.total() - received);
                ends.windows += grown.min(LARGEST_WINDOW * (HEALTHY + 2));
            }
            End::Stop => {
                victim.terminate();
                assert!(victim.until_ended().success(), "a stop must not fail");
            }
        }
        victim.start_again();
    }
    is_over.store(true, Ordering::SeqCst);
    let told = telling.await.unwrap();
    tell(&format!(
        "  {number} ends ({how:?}), a delivery under way at {}; {} facts were told",
        ends.fair,
        told.len()
    ));
    settle(&stage, &hanging, told.len()).await;
    judge(&stage, &told, &healthy, (&flaky, &hanging), &ends).await
}

/// The sum of a process's windows.
fn window(program: &Program) -> usize {
    let text = program.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix("webhook_window_deliveries "));
    value.map_or(0, |value| value.parse().unwrap())
}

/// The 99th percentile of the time until an event first reached a healthy endpoint.
fn p99(stage: &Stage, told: &HashMap<Uuid, Instant>, healthy: &[Subscribed]) -> Duration {
    let mut first: HashMap<(usize, Uuid), Duration> = HashMap::new();
    for hit in stage.sink.hits() {
        if let Some(at) = told.get(&hit.id).filter(|_| healthy.iter().any(|it| it.endpoint == hit.endpoint)) {
            first.entry((hit.endpoint, hit.id)).or_insert_with(|| hit.at.saturating_duration_since(*at));
        }
    }
    let mut delays: Vec<Duration> = first.into_values().collect();
    delays.sort_unstable();
    delays.get(delays.len() * 99 / 100).copied().unwrap()
}

/// Lets the one that hung be well, as if its circuit's time were over, and waits until nothing is left to be delivered.
async fn settle(stage: &Stage, hanging: &Subscribed, facts: usize) {
    stage.sink.heal();
    let id = &hanging.id;
    eventually_within(HEALING, "everything to be delivered", async || {
        stage
            .execute(&format!("UPDATE webhook_subscriptions SET circuit_until = now() WHERE id = '{id}' AND circuit_state = 'open'"))
            .await;
        let left = stage.count("webhook_deliveries WHERE status IN ('pending', 'delivering')").await;
        let taken = stage.count("messages WHERE type = 'account.connected'").await;
        (left == 0 && taken == facts).then_some(())
    })
    .await;
}

async fn judge(
    stage: &Stage,
    told: &HashMap<Uuid, Instant>,
    healthy: &[Subscribed],
    (flaky, hanging): (&Subscribed, &Subscribed),
    ends: &Ends,
) -> Value {
    let times: HashMap<(usize, Uuid), usize> = times(&stage.sink.hits());
    let missing =
        |it: &Subscribed| told.keys().filter(|id| !times.contains_key(&(it.endpoint, **id))).count();
    let missed: usize = healthy.iter().map(missing).sum();
    let (missed_by_flaky, missed_by_hanging) = (missing(flaky), missing(hanging));
    let is_healthy = |endpoint: usize| healthy.iter().any(|it| it.endpoint == endpoint);
    let received = times.iter().filter(|((endpoint, _), _)| is_healthy(*endpoint));
    let (different, all) = received.fold((0, 0), |(different, all), (_, times)| (different + 1, all + times));
    let repeated = all - different;
    let (number, fair) = (ends.number, ends.fair);
    let per_end = crate::raw::per_second(repeated, f64::from(number));
    let delay = p99(stage, told, healthy);
    let failed = stage.count("webhook_deliveries WHERE status <> 'success'").await;
    let forged = stage.sink.forged();
    let mut promises = vec![
        (
            "each fact came to each healthy endpoint",
            missed == 0,
            format!("{missed} did not, {different} did"),
        ),
        (
            "and to the one that failed a third of the time",
            missed_by_flaky == 0,
            format!("{missed_by_flaky} did not"),
        ),
        (
            "and to the one that hung, once it was well",
            missed_by_hanging == 0,
            format!("{missed_by_hanging} did not"),
        ),
        ("no delivery is left or given up", failed == 0, format!("{failed} are")),
        (
            "repeats are within the windows",
            repeated <= ends.windows,
            format!("{repeated} repeated, {per_end:.1} at each end; windows of {}", ends.windows),
        ),
        ("every signature verifies", forged == 0, format!("{forged} did not")),
        ("deliveries were under way", fair * 10 >= number * 9, format!("at {fair} of {number}")),
    ];
    if ends.how != End::Kill {
        promises.push(("no webhook is late in a rolling restart", delay <= LATE, format!("p99 {delay:?}")));
    }
    for (promise, is_kept, how) in promises {
        tell(&format!("  {promise:<50} {} {how}", if is_kept { "yes" } else { "NO " }));
        assert!(is_kept, "{promise}: {how}");
    }
    json!({
        "ends": number, "facts": told.len(), "received": all, "repeated": repeated, "repeated_at_each_end": per_end,
        "windows": ends.windows, "p99_ms": delay.as_secs_f64() * 1e3,
    })
}
