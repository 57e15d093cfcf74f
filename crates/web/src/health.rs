//! Liveness, readiness and health.
//!
//! `/livez` checks no dependencies, because a restart would not repair them. `/readyz` is 200 only while every required
//! dependency answers and no stop is announced. `/health` reports each of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Chain;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::sync::Mutex;

/// Time limit of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A report is cached for this time, so that frequent probes do not load the dependencies.
const KEEP: Duration = Duration::from_secs(1);

/// Importance of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// The service is not ready without it.
    Required,
    /// The service is degraded without it.
    Optional,
}

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

struct Dependency {
    name: &'static str,
    requirement: Requirement,
    check: Check,
}

/// The dependencies of a service, with a check for each.
#[derive(Default)]
pub struct Health {
    dependencies: Vec<Dependency>,
    latest: Mutex<Option<(Instant, Arc<Report>)>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.dependencies.iter().map(|dependency| dependency.name)).finish()
    }
}

/// The state of the service in `/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Every dependency answers.
    Healthy,
    /// An optional dependency does not answer.
    Degraded,
    /// A required dependency does not answer.
    Unhealthy,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) status: Status,
    pub(crate) dependencies: BTreeMap<&'static str, DependencyReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DependencyReport {
    status: &'static str,
    required: bool,
    /// Duration of the check in milliseconds.
    latency_ms: u64,
    detail: Option<String>,
}

impl Health {
    /// Without dependencies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dependency. The error text of `check` is shown to unauthenticated clients: it must contain no secret and
    /// no address with one.
    #[must_use]
    pub fn check<F>(
        mut self,
        name: &'static str,
        requirement: Requirement,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Check = Box::new(move || check().boxed());
        self.dependencies.push(Dependency { name, requirement, check });
        self
    }

    /// Adds a required dependency: a handle of it, and its check. Of an error, the chain of causes is shown, see
    /// [`Health::check`].
    #[must_use]
    pub fn required<D, F, E>(self, name: &'static str, handle: &D, ask: fn(D) -> F) -> Self
    where
        D: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + 'static,
    {
        self.handle(name, Requirement::Required, handle.clone(), ask)
    }

    /// Adds an optional dependency; otherwise as [`Health::required`].
    #[must_use]
    pub fn optional<D, F, E>(self, name: &'static str, handle: &D, ask: fn(D) -> F) -> Self
    where
        D: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + 'static,
    {
        self.handle(name, Requirement::Optional, handle.clone(), ask)
    }

    /// Whether a dependency has this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.dependencies.iter().any(|dependency| dependency.name == name)
    }

    fn handle<D, F, E>(self, name: &'static str, requirement: Requirement, handle: D, ask: fn(D) -> F) -> Self
    where
        D: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + 'static,
    {
        self.check(name, requirement, move || {
            let asked = ask(handle.clone());
            async move { asked.await.map_err(|error| Chain(&error).to_string()) }
        })
    }

    /// The state of all dependencies, at most [`KEEP`] old. Concurrent callers share one round of checks.
    pub(crate) async fn report(&self) -> Arc<Report> {
        let mut latest = self.latest.lock().await;
        let before = latest.as_ref().map(|(_, report)| report.status);
        if let Some((at, report)) = latest.as_ref()
            && at.elapsed() < KEEP
        {
            return Arc::clone(report);
        }
        let report = Arc::new(self.ask_all().await);
        if before != Some(report.status) {
            log(&report);
        }
        *latest = Some((Instant::now(), Arc::clone(&report)));
        report
    }

    async fn ask_all(&self) -> Report {
        let reports = join_all(self.dependencies.iter().map(Dependency::ask)).await;
        let dependencies: BTreeMap<_, _> =
            self.dependencies.iter().map(|dependency| dependency.name).zip(reports).collect();
        let failed = |required| dependencies.values().any(|one| !one.is_up() && one.required == required);
        let status = match (failed(true), failed(false)) {
            (true, _) => Status::Unhealthy,
            (false, true) => Status::Degraded,
            (false, false) => Status::Healthy,
        };
        Report { status, dependencies }
    }
}

impl Dependency {
    async fn ask(&self) -> DependencyReport {
        let started = Instant::now();
        let outcome = tokio::time::timeout(CHECK_TIMEOUT, (self.check)())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())));
        DependencyReport {
            status: if outcome.is_ok() { "up" } else { "down" },
            required: self.requirement == Requirement::Required,
            latency_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            detail: outcome.err(),
        }
    }
}

impl DependencyReport {
    fn is_up(&self) -> bool {
        self.detail.is_none()
    }
}

impl Report {
    /// The errors, one line for each dependency that is down.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let down = self.dependencies.iter();
        down.filter_map(|(name, one)| one.detail.as_ref().map(|detail| format!("{name}: {detail}"))).collect()
    }
}

fn log(report: &Report) {
    match report.status {
        Status::Healthy => tracing::info!("healthy"),
        status => tracing::warn!(?status, troubles = report.troubles().join("; "), "dependency is down"),
    }
}
