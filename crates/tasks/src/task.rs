//! Tasks as types: the type is the kind, the value is the payload.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{Outcome, TaskError};
use crate::run::Run;

/// One kind of durable work. A value is one task: it is stored as JSON and parsed by the worker that runs it.
///
/// Stored tasks must remain readable: a new field needs a default, and unknown fields are ignored.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The kind in `task_history.kind`, unique within a service.
    const KIND: &'static str;

    /// The state that the service's tasks use.
    type State: Send + Sync + 'static;

    /// Runs one attempt. It must be safe to repeat from the start, because a worker may die at any point.
    ///
    /// # Errors
    /// A [`TaskError`], which states whether and when the task is retried.
    fn run(
        self,
        context: TaskContext<'_, Self::State>,
    ) -> impl Future<Output = Result<Outcome, TaskError>> + Send;
}

/// The context of one attempt.
#[derive(Debug)]
pub struct TaskContext<'a, S> {
    /// The service's state.
    pub state: &'a S,
    /// The running attempt.
    pub run: &'a Run,
}

/// A serialized task: its kind and its JSON.
#[derive(Debug, Clone)]
pub struct Payload {
    kind: &'static str,
    json: Result<Value, String>,
}

impl Payload {
    /// Serializes a task. A failure is reported when the task is stored.
    pub fn of<T: Task>(task: &T) -> Self {
        Self { kind: T::KIND, json: serde_json::to_value(task).map_err(|error| error.to_string()) }
    }

    /// The kind of the task.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The task as JSON.
    ///
    /// # Errors
    /// [`pg::Error`] when it cannot be written as JSON.
    pub fn json(&self) -> Result<&Value, pg::Error> {
        self.json.as_ref().map_err(|error| pg::Error::unwritable(error.clone()))
    }
}

/// The kinds of tasks that a worker runs.
#[derive(Default)]
pub struct Handlers(HashMap<&'static str, Arc<dyn Handler>>);

impl Handlers {
    /// Without any kind.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type of tasks, which run with `state`.
    ///
    /// # Panics
    /// Another type of the same kind was added.
    #[must_use]
    pub fn with<T: Task>(mut self, state: Arc<T::State>) -> Self {
        let handler = Arc::new(Typed { state, task: PhantomData::<fn() -> T> });
        let earlier = self.0.insert(T::KIND, handler);
        assert!(earlier.is_none(), "two types of tasks have the kind {}", T::KIND);
        self
    }

    /// The registered kinds.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn get(&self, kind: &str) -> Option<(&'static str, &dyn Handler)> {
        self.0.get_key_value(kind).map(|(kind, handler)| (*kind, handler.as_ref()))
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Runs the tasks of one kind.
pub(crate) trait Handler: Send + Sync {
    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>>;
}

struct Typed<T: Task> {
    state: Arc<T::State>,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Handler for Typed<T> {
    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, TaskError>> {
        async move {
            let task = read::<T>(&run.task().payload)?;
            task.run(TaskContext { state: &self.state, run }).await
        }
        .boxed()
    }
}

/// Parses a stored task. A retry cannot help, so that the task fails at once.
fn read<T: Task>(payload: &Value) -> Result<T, TaskError> {
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let (field, reason) = (error.path().to_string(), error.inner());
        // At the root the reason itself names the missing field.
        let reason = if field == "." { reason.to_string() } else { format!("the field `{field}`: {reason}") };
        TaskError::Fail(format!("the payload of `{}` cannot be read: {reason}", T::KIND))
    })
}
