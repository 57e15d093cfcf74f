//! Tasks as types: a value is the payload, its type is the kind.

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

/// One kind of durable work. A value of the type is one task: it is stored as JSON and read back by the worker that runs it.
///
/// Tasks that are stored already must stay readable: a field that is added needs a default, and unknown fields are ignored.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind in `task_history.kind`, unique within a service.
    const KIND: &'static str;

    /// What the service's tasks work with.
    type State: Send + Sync + 'static;

    /// Makes one attempt. It must be safe to repeat from the start, because a worker may die at any line.
    ///
    /// # Errors
    /// A [`TaskError`] that says whether and when the task is tried again.
    fn run(
        self,
        context: TaskContext<'_, Self::State>,
    ) -> impl Future<Output = Result<Outcome, TaskError>> + Send;
}

/// What one attempt works with.
#[derive(Debug)]
pub struct TaskContext<'a, S> {
    /// The service's state.
    pub state: &'a S,
    /// The attempt.
    pub run: &'a Run,
}

/// A task as it is stored: its kind and its JSON.
#[derive(Debug, Clone)]
pub struct Payload {
    kind: &'static str,
    json: Result<Value, String>,
}

impl Payload {
    /// Writes a task as JSON. A task that cannot be written is an error where it is stored.
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
    /// No kind at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the tasks of one type, which run with `state`.
    ///
    /// # Panics
    /// Another type of the same kind was added before.
    #[must_use]
    pub fn with<T: Task>(mut self, state: Arc<T::State>) -> Self {
        let handler = Arc::new(Typed { state, task: PhantomData::<fn() -> T> });
        let earlier = self.0.insert(T::KIND, handler);
        assert!(earlier.is_none(), "two types of tasks have the kind {}", T::KIND);
        self
    }

    /// The kinds that were added.
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

/// Reads a stored task. No attempt can read what one could not, so the task fails for good.
fn read<T: Task>(payload: &Value) -> Result<T, TaskError> {
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let (field, reason) = (error.path().to_string(), error.inner());
        // At the root the reason itself names the field that is missing.
        let reason = if field == "." { reason.to_string() } else { format!("the field `{field}`: {reason}") };
        TaskError::Fail(format!("the payload of `{}` cannot be read: {reason}", T::KIND))
    })
}
