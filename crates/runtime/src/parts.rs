//! The state of a service, and the loops, tasks and checks that it declares.

use std::sync::Arc;
use std::time::Duration;

use chassis::Outcome;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messaging::{Broker, Consumer, Handler};
use pg::{Pool, RetentionPolicy};
use tasks::schedules::NewSchedule;
use tasks::{Handlers, Task, Timing};
use tokio_util::sync::CancellationToken;
use web::Health;

/// Starts a consumer that ends when the token is cancelled.
type StartConsumer = Box<dyn FnOnce(Broker, Pool, CancellationToken) -> BoxFuture<'static, ()> + Send>;
/// Starts background work that ends when the token is cancelled.
type StartWorker = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// The state of a service and everything of its own that runs.
pub struct Parts<S> {
    pub(crate) state: Arc<S>,
    pub(crate) consumer: Option<StartConsumer>,
    pub(crate) workers: Vec<(&'static str, StartWorker)>,
    pub(crate) everywhere: Vec<(&'static str, StartWorker)>,
    pub(crate) handlers: Handlers,
    pub(crate) tasks_at_once: usize,
    pub(crate) task_silence: Duration,
    pub(crate) schedules: Vec<NewSchedule>,
    pub(crate) retention: Vec<RetentionPolicy>,
    pub(crate) health: Health,
}

impl<S> std::fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> Parts<S> {
    /// A service with this state and no further parts. A process runs at most `tasks_at_once` tasks at once.
    pub fn new(state: S, tasks_at_once: usize) -> Self {
        Self {
            state: Arc::new(state),
            consumer: None,
            workers: Vec::new(),
            everywhere: Vec::new(),
            handlers: Handlers::new(),
            tasks_at_once,
            task_silence: tasks::Settings::default().silence,
            schedules: Vec::new(),
            retention: Vec::new(),
            health: Health::new(),
        }
    }

    /// Consumes events in the worker role.
    #[must_use]
    pub fn consumer<H: Handler>(self, consumer: Consumer, handler: H) -> Self {
        self.consumer_after(consumer, handler, async |_stop| ())
    }

    /// As [`Parts::consumer`], but begins when `ready` returns. `ready` must return when its token is cancelled.
    #[must_use]
    pub fn consumer_after<H: Handler, F>(
        mut self,
        consumer: Consumer,
        handler: H,
        ready: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        self.consumer = Some(Box::new(move |broker, pool, stop| {
            async move {
                ready(stop.clone()).await;
                consumer.run(broker, pool, handler, stop).await;
            }
            .boxed()
        }));
        self
    }

    /// Runs in the worker role until the token is cancelled. An error ends the process.
    #[must_use]
    pub fn worker<F>(
        mut self,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.workers.push((name, boxed(run)));
        self
    }

    /// Runs in every role until the token is cancelled. An error ends the process.
    #[must_use]
    pub fn everywhere<F>(
        mut self,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.everywhere.push((name, boxed(run)));
        self
    }

    /// Runs the tasks of one type.
    #[must_use]
    pub fn task<T: Task<State = S>>(mut self) -> Self {
        self.handlers = self.handlers.with::<T>(Arc::clone(&self.state));
        self
    }

    /// Replaces the time after which a worker without heartbeats loses its task. The default is one minute.
    #[must_use]
    pub const fn task_silence(mut self, silence: Duration) -> Self {
        self.task_silence = silence;
        self
    }

    /// Runs tasks of one type, and enqueues this task at the times of `timing`.
    #[must_use]
    pub fn schedule<T: Task<State = S>>(mut self, task: &T, timing: Timing) -> Self {
        self.schedules.push(NewSchedule::of_service(task, timing));
        self.task::<T>()
    }

    /// Adds retention policies of the service's own tables.
    #[must_use]
    pub fn retain(mut self, policies: impl IntoIterator<Item = RetentionPolicy>) -> Self {
        self.retention.extend(policies);
        self
    }

    /// Adds health checks to those of Postgres, RabbitMQ and the rate limits' Redis.
    #[must_use]
    pub fn health(mut self, add: impl FnOnce(Health) -> Health) -> Self {
        self.health = add(self.health);
        self
    }
}

fn boxed<F>(run: impl FnOnce(CancellationToken) -> F + Send + 'static) -> StartWorker
where
    F: Future<Output: Outcome> + Send + 'static,
{
    Box::new(move |stop| run(stop).map(|ended| ended.error().map_or(Ok(()), Err)).boxed())
}
