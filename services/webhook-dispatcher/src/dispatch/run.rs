//! Leads each delivery to its endpoint's lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Job;
use super::endpoints::Endpoints;
use super::lane::{self, Tools};
use super::recorder::Recorder;
use super::send::Sender;
use crate::state::State;

/// How often lanes nobody needs are ended.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);

/// Delivers dispatched jobs until `stop`. Attempts in flight then end and are recorded, and waiting jobs are released for
/// other replicas. `max_window` bounds the deliveries to one endpoint that are sent and not yet recorded.
pub(crate) async fn run(
    state: State,
    clients: egress::Clients,
    max_window: usize,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    stop: CancellationToken,
) {
    let (recorder, recording) = Recorder::new(state.clone());
    let recording = tokio::spawn(recording);
    let tools = Tools {
        sender: Sender::new(state.guard.clone()),
        endpoints: Arc::new(Endpoints::new(state.clone(), clients)),
        state,
        recorder,
        max_window,
        stop: stop.clone(),
    };
    let mut lanes: HashMap<Uuid, mpsc::UnboundedSender<Job>> = HashMap::new();
    let mut working = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_PERIOD);
    loop {
        let job = tokio::select! {
            () = stop.cancelled() => break,
            job = jobs.recv() => match job {
                Some(job) => job,
                None => break,
            },
            Some(ended) = working.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a lane panicked; its leases end by themselves");
                }
                continue;
            }
            _ = sweep.tick() => {
                // Without a job in hand, no lane has any: dropping its sender ends it.
                lanes.retain(|id, _| tools.state.load.has(*id));
                continue;
            }
        };
        let id = job.subscription_id;
        let lane = lanes.entry(id).or_insert_with(|| {
            let (lane, handed) = mpsc::unbounded_channel();
            working.spawn(lane::work(tools.clone(), id, handed));
            lane
        });
        if let Err(mpsc::error::SendError(job)) = lane.send(job) {
            // The lane panicked or has stopped: the next job starts another lane.
            tools.recorder.release(job, tools.state.now());
            lanes.remove(&id);
        }
    }
    drop(lanes);
    // The producers of jobs stop too, so that this loop ends.
    while let Some(job) = jobs.recv().await {
        tools.recorder.release(job, tools.state.now());
    }
    while working.join_next().await.is_some() {}
    drop(tools);
    if let Err(error) = recording.await {
        tracing::error!(%error, "the recorder panicked");
    }
}
