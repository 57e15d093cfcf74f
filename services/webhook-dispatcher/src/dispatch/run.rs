//! Gives each endpoint its share of attempts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::Chain;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Job;
use super::endpoints::Endpoints;
use super::recorder::Recorder;
use super::send::{cancelled, send};
use crate::state::State;

/// Attempts under way to one subscription: also what a crash may repeat of it.
const PER_SUBSCRIPTION: usize = 8;

/// What is left of a lease when an attempt ends in the worst case: time to record it.
const RECORDING: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    under_way: usize,
}

/// Delivers what is handed over until `stop`; attempts under way are then ended and recorded, what waits is left to
/// whoever finds its lease ended.
pub(crate) async fn run(
    state: State,
    client: Client,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    stop: CancellationToken,
) {
    let endpoints = Arc::new(Endpoints::new(state.clone()));
    let (recorder, recording) = Recorder::new(state.clone());
    let recording = tokio::spawn(recording);
    let mut lanes: HashMap<Uuid, Lane> = HashMap::new();
    let mut attempts: JoinSet<Uuid> = JoinSet::new();
    loop {
        let lane = tokio::select! {
            () = stop.cancelled() => break,
            handed = jobs.recv() => {
                let Some(job) = handed else { break };
                let id = job.subscription_id;
                lanes.entry(id).or_default().waiting.push_back(job);
                id
            }
            Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                Ok(id) => {
                    if let Some(lane) = lanes.get_mut(&id) {
                        lane.under_way -= 1;
                    }
                    id
                }
                Err(error) => {
                    tracing::error!(%error, "an attempt panicked; its lease ends by itself");
                    continue;
                }
            },
        };
        let Some(queue) = lanes.get_mut(&lane) else { continue };
        while queue.under_way < PER_SUBSCRIPTION
            && let Some(job) = queue.waiting.pop_front()
        {
            queue.under_way += 1;
            attempts.spawn(attempt(
                state.clone(),
                client.clone(),
                Arc::clone(&endpoints),
                recorder.clone(),
                job,
            ));
        }
        if queue.under_way == 0 && queue.waiting.is_empty() {
            lanes.remove(&lane);
        }
    }
    while attempts.join_next().await.is_some() {}
    drop(recorder);
    if let Err(error) = recording.await {
        tracing::error!(%error, "the recorder panicked");
    }
}

/// One attempt and its record. Returns whose it was.
async fn attempt(
    state: State,
    client: Client,
    endpoints: Arc<Endpoints>,
    recorder: Recorder,
    job: Job,
) -> Uuid {
    let id = job.subscription_id;
    let endpoint = match endpoints.get(id).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "a receiver cannot be looked up; its deliveries wait");
            // Not at once again: everything handed over would run through here.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return id;
        }
    };
    let now = state.now();
    let Some(endpoint) = endpoint else {
        recorder.record(cancelled(&job, now)).await;
        return id;
    };
    if now + endpoint.timeout + RECORDING > job.leased_until {
        // It waited too long here: another may take it before we are done. Whoever takes it then, sends it.
        return id;
    }
    failpoint::hit("webhook.before_send");
    let outcome = send(&client, &state.guard, &endpoint, &job, now).await;
    failpoint::hit("webhook.after_send");
    recorder.record(outcome).await;
    drop(job.slot);
    id
}
