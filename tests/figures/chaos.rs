//! Two replicas are killed in turn while facts come steadily, with an endpoint that hangs and one that fails beside healthy
//! ones. Then everything must have arrived.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
/// Of what a healthy endpoint gets, the part that may come again, in percent.
const REPEATED_PERCENT: f64 = 1.0;
/// Within this all must be delivered once the one that hung is well.
const HEALING: Duration = Duration::from_mins(4);

/// Kills one of two replicas so many times, and returns what was counted.
pub(crate) async fn run(binary: &'static str, kills: u32) -> Value {
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
        teller.told.into_keys().collect::<BTreeSet<Uuid>>()
    });
    let mut fair = 0;
    for kill in 0..kills {
        let victim: &mut Program = if kill % 2 == 0 { &mut stage.service } else { &mut replica };
        let moment = Duration::from_millis(u64::from(1000 + kill * 37 % 500));
        let _elapsed = timeout(moment, std::future::pending::<()>()).await;
        let sink = &stage.sink;
        eventually("a delivery to be under way", async || (sink.in_flight() > 0).then_some(())).await;
        fair += u32::from(sink.in_flight() > 0);
        victim.kill();
        victim.start_again();
    }
    is_over.store(true, Ordering::SeqCst);
    let told = telling.await.unwrap();
    tell(&format!("  {kills} kills, a delivery under way at {fair}; {} facts were told", told.len()));
    settle(&stage, &hanging, told.len()).await;
    judge(&stage, &told, &healthy, (&flaky, &hanging), (kills, fair)).await
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
    told: &BTreeSet<Uuid>,
    healthy: &[Subscribed],
    (flaky, hanging): (&Subscribed, &Subscribed),
    (kills, fair): (u32, u32),
) -> Value {
    let times: HashMap<(usize, Uuid), usize> = times(&stage.sink.hits());
    let missing =
        |it: &Subscribed| told.iter().filter(|id| !times.contains_key(&(it.endpoint, **id))).count();
    let missed: usize = healthy.iter().map(missing).sum();
    let (missed_by_flaky, missed_by_hanging) = (missing(flaky), missing(hanging));
    let is_healthy = |endpoint: usize| healthy.iter().any(|it| it.endpoint == endpoint);
    let received = times.iter().filter(|((endpoint, _), _)| is_healthy(*endpoint));
    let (different, all) = received.fold((0, 0), |(different, all), (_, times)| (different + 1, all + times));
    let repeated = 100.0 * crate::raw::per_second(all - different, 1.0) / crate::raw::per_second(all, 1.0);
    let failed = stage.count("webhook_deliveries WHERE status <> 'success'").await;
    let forged = stage.sink.forged();
    for (promise, is_kept, how) in [
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
        ("less than 1 % came again", repeated < REPEATED_PERCENT, format!("{repeated:.2} %")),
        ("every signature verifies", forged == 0, format!("{forged} did not")),
        ("the kills were fair", fair * 10 >= kills * 9, format!("{fair} of {kills}")),
    ] {
        tell(&format!("  {promise:<50} {} {how}", if is_kept { "yes" } else { "NO " }));
        assert!(is_kept, "{promise}: {how}");
    }
    json!({ "kills": kills, "facts": told.len(), "received": all, "repeated_percent": repeated })
}
