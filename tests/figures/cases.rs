//! What is measured: a full queue drained, one endpoint hanging among a hundred, delay at a steady rate, and memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::tell;
use tokio::time::timeout;

use crate::raw::{bare, per_second};
use crate::sink::{Hit, Manner};
use crate::stage::Stage;

/// As the service bounds the requests under way to one endpoint that is well.
const AT_ONCE: usize = 32;
/// Facts told before delays are measured: connections are open then.
const WARM: usize = 50;

/// How much is measured.
pub(crate) struct Size {
    /// Facts for one endpoint, and for each of twenty.
    pub(crate) one: usize,
    pub(crate) many: usize,
    pub(crate) lasting: Duration,
    pub(crate) pending: usize,
}

/// Lets the queue fill while the service is away, and measures from the first fact that is taken up to the last outcome that
/// is committed.
pub(crate) async fn drain(binary: &'static str, facts: usize, endpoints: usize) -> Value {
    let mut stage = Stage::new(binary).await;
    for _ in 0..endpoints {
        stage.subscribe(Manner::Well, &json!({}));
    }
    stage.service.kill();
    stage.teller().await.tell(facts).await;
    stage.service.start_again();
    let deliveries = facts * endpoints;
    stage.until_done(deliveries).await;
    let seconds = stage.seconds().await;
    let cores = stage.service.cpu().as_secs_f64() / seconds;
    stage.verify(deliveries).await;
    let body = stage.body_bytes().await;
    let peak = stage.service.peak_megabytes();
    drop(stage);
    let raw = bare(deliveries.min(100_000), (AT_ONCE * endpoints).min(128), body).await;
    let speed = per_second(deliveries, seconds);
    tell(&format!("  {facts} x {endpoints}: {speed:.0}/s, bare {raw:.0}/s, {cores:.2} cores, {peak} MB"));
    json!({ "speed": speed, "raw": raw, "cores": cores, "peak": peak })
}

/// Delays in milliseconds, p50 and p99, from the publication of a fact until the endpoint has it, at a steady rate.
pub(crate) async fn delays(binary: &'static str, per_second: u32, lasting: Duration) -> Value {
    let stage = Stage::new(binary).await;
    stage.subscribe(Manner::Well, &json!({}));
    let (p50, p99) = steady(&stage, per_second, lasting, 1, None).await;
    tell(&format!("  at {per_second}/s: p50 {p50:.1} ms, p99 {p99:.1} ms"));
    json!({ "p50": p50, "p99": p99 })
}

/// The same for the 99 healthy ones of a hundred endpoints, of which the last is well or hangs.
pub(crate) async fn hanging(binary: &'static str, per_second: u32, lasting: Duration, hangs: bool) -> Value {
    let stage = Stage::new(binary).await;
    for _ in 0..99 {
        stage.subscribe(Manner::Well, &json!({}));
    }
    let last = if hangs { Manner::Hanging } else { Manner::Well };
    let last = stage.subscribe(last, &json!({ "timeout_seconds": 30 })).endpoint;
    let (p50, p99) = steady(&stage, per_second, lasting, 99, Some(last)).await;
    let how = if hangs { "one hangs" } else { "none hangs" };
    tell(&format!("  100 endpoints, {per_second} events/s, {how}: p50 {p50:.1} ms, p99 {p99:.1} ms"));
    json!({ "p50": p50, "p99": p99 })
}

/// Tells facts steadily, and looks at those that came to all endpoints but one.
async fn steady(
    stage: &Stage,
    per_second: u32,
    lasting: Duration,
    endpoints: usize,
    but: Option<usize>,
) -> (f64, f64) {
    let mut teller = stage.teller().await;
    teller.tell_steadily(per_second.min(100), Duration::from_secs(1)).await;
    let warm: Vec<_> = teller.told.drain().collect();
    assert!(warm.len() >= WARM.min(usize::try_from(per_second).unwrap()));
    teller.tell_steadily(per_second, lasting).await;
    let wanted = |hit: &Hit| Some(hit.endpoint) != but && teller.told.contains_key(&hit.id);
    let expected = teller.told.len() * endpoints;
    testkit::eventually("all to be received", async || {
        (stage.sink.hits().iter().filter(|hit| wanted(hit)).count() >= expected).then_some(())
    })
    .await;
    let hits: Vec<Hit> = stage.sink.hits().into_iter().filter(wanted).collect();
    assert_eq!(hits.len(), expected, "some were received twice");
    let delay = |hit: &Hit| hit.at.saturating_duration_since(teller.told[&hit.id]).as_secs_f64() * 1000.0;
    percentiles(hits.iter().map(delay).collect())
}

/// The most memory while a million deliveries are pending, of a hundred endpoints one half of which hangs, and what the
/// other half gets a second meanwhile.
pub(crate) async fn memory(binary: &'static str, pending: usize, lasting: Duration) -> Value {
    let mut stage = Stage::new(binary).await;
    for number in 0..100 {
        let manner = if number % 2 == 0 { Manner::Hanging } else { Manner::Well };
        stage.subscribe(manner, &json!({ "timeout_seconds": 30 }));
    }
    stage.service.kill();
    stage.fill(pending).await;
    stage.service.start_again();
    let started = Instant::now();
    let _elapsed = timeout(lasting, std::future::pending::<()>()).await;
    let (received, seconds) = (stage.sink.total(), started.elapsed().as_secs_f64());
    let left = stage.count("webhook_deliveries WHERE status IN ('pending', 'delivering')").await;
    let peak = stage.service.peak_megabytes();
    assert!(left >= pending / 2, "half of them have nowhere to go");
    let speed = per_second(received, seconds);
    tell(&format!("  {pending} pending: {peak} MB, {speed:.0}/s meanwhile"));
    json!({ "peak": peak, "speed": speed })
}

/// Half and 99 % of the values are no larger.
fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values.get(values.len() * percent / 100).copied().unwrap();
    (at(50), at(99))
}
