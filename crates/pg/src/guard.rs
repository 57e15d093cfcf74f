//! Lets a process work on its database only while the schema and the encryption keys match the process.
//!
//! Invariants: a guarded [`Pool`] lends no connection before its schema and keys are checked, nor while they do not
//! match. While a key is missing it lends no connection for new work ([`Pool::get_to_claim`]); work in progress is
//! finished or released. A rejection is retried in the same way as an unavailable database ([`Error::is_unavailable`]).

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use domain::{Chain, Misconfigured, panic_as_error};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::replicas::Replica;
use crate::sealed::Keyring;
use crate::{Connection, Error, Pool, Schema, keys};

/// Interval between checks of a process that may work. Each also renews its row in `replicas`.
const PERIOD: Duration = Duration::from_secs(10);
/// Interval between checks of a process that must not work.
const RETRY: Duration = Duration::from_secs(1);
/// Time limit of the first check at the start. An unavailable database is checked once it is available.
const FIRST_CHECK: Duration = Duration::from_secs(10);
/// Time limit of deleting the process's row in `replicas` at a stop.
const LEAVING: Duration = Duration::from_secs(1);

/// The reason why a process must not work on its database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The schema is older than the one the program was compiled for, or lacks a column.
    #[error("schema_outdated: {0}")]
    SchemaOutdated(String),
    /// The process lacks these keys, with which stored values may be sealed.
    #[error("encryption_key_missing: ENCRYPTION_KEYS lacks {}, which stored values are sealed with", .0.join(", "))]
    KeysMissing(Vec<String>),
    /// The process's keys with these ids differ from the keys that sealed the stored values.
    #[error("encryption_key_wrong: ENCRYPTION_KEYS has other bytes for {} than the stored values were sealed with", .0.join(", "))]
    WrongKeys(Vec<String>),
}

/// The result of the last check. `None` before the first one.
type Verdict = Option<Result<(), Unfit>>;

/// Decides whether a pool lends connections. Without rules it always does.
#[derive(Default)]
pub(crate) struct Gate {
    rules: OnceLock<Rules>,
    verdict: watch::Sender<Verdict>,
}

struct Rules {
    schema: &'static Schema,
    keyring: Keyring,
    replica: Replica,
}

impl Gate {
    /// Whether connections are lent, to `claim` new work or for work in progress. False before the first check.
    ///
    /// # Errors
    /// The reason why they are not lent.
    pub(crate) fn is_open(&self, claim: bool) -> Result<bool, Error> {
        if self.rules.get().is_none() {
            return Ok(true);
        }
        let verdict = self.verdict.borrow();
        verdict.as_ref().map_or(Ok(false), |verdict| permits(verdict, claim).map(|()| true))
    }

    /// As [`Gate::is_open`], after a check of the database.
    ///
    /// # Errors
    /// As [`Gate::is_open`], or the database's error.
    pub(crate) async fn open(&self, conn: &mut Connection, claim: bool) -> Result<(), Error> {
        permits(&self.decide(conn).await?, claim)
    }

    /// Checks the database, stores the verdict, and renews this process's row in `replicas`.
    ///
    /// # Errors
    /// The database's error. The stored verdict then remains unchanged.
    async fn decide(&self, conn: &mut Connection) -> Result<Result<(), Unfit>, Error> {
        let Some(rules) = self.rules.get() else { return Ok(Ok(())) };
        let verdict = match rules.check(conn).await {
            Ok(()) => Ok(()),
            Err(Error::Unfit(unfit)) => Err(unfit),
            Err(error) => return Err(error),
        };
        let before = self.verdict.send_replace(Some(verdict.clone()));
        match &verdict {
            Err(unfit) if before.as_ref() != Some(&verdict) => {
                tracing::warn!(reason = %unfit, "schema or keys do not match the process; work is suspended, will check again");
            }
            Ok(()) if matches!(before, Some(Err(_))) => {
                tracing::info!("schema and keys match again; work is resumed");
            }
            Ok(()) | Err(_) => {}
        }
        Ok(verdict)
    }

    /// Returns when the process may claim new work (`may_claim`), or must not.
    async fn until(&self, may_claim: bool) {
        if self.rules.get().is_some() {
            let matches = |verdict: &Verdict| matches!(verdict, Some(Ok(()))) == may_claim;
            let mut verdict = self.verdict.subscribe();
            // The sender lives as long as the pool.
            let _is_reached = verdict.wait_for(matches).await.is_ok();
        } else if !may_claim {
            std::future::pending::<()>().await;
        }
    }
}

fn permits(verdict: &Result<(), Unfit>, claim: bool) -> Result<(), Error> {
    match verdict {
        Err(Unfit::KeysMissing(_)) if !claim => Ok(()),
        verdict => Ok(verdict.clone()?),
    }
}

impl Rules {
    async fn check(&self, conn: &mut Connection) -> Result<(), Error> {
        let gap = self.schema.gap(conn).await?;
        let pending = u32::try_from(gap.pending.len()).unwrap_or(u32::MAX);
        metrics::gauge!("schema_migrations_pending").set(pending);
        if !gap.is_empty() {
            return Err(Unfit::SchemaOutdated(gap.to_string()).into());
        }
        let checked = keys::check(conn, &self.keyring).await;
        if !matches!(checked, Err(Error::Unfit(Unfit::WrongKeys(_)))) {
            self.replica.announce(conn, &self.keyring).await?;
        }
        checked
    }
}

/// Checks periodically whether a pool's process may work.
pub struct PoolGuard(Pool);

impl fmt::Debug for PoolGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolGuard").field(&self.0).finish()
    }
}

impl Pool {
    /// From now on this pool and its clones lend connections only while the database has this schema and the keys
    /// match: no key in use is missing, and each key opens its canary. Checks once. An unavailable database is checked
    /// later by [`PoolGuard::run`].
    ///
    /// # Errors
    /// A key differs from the one of the same id that sealed the stored values.
    pub async fn guard(
        &self,
        schema: &'static Schema,
        keyring: &Keyring,
    ) -> Result<PoolGuard, Misconfigured> {
        let rules = Rules { schema, keyring: keyring.clone(), replica: Replica::default() };
        self.gate.rules.get_or_init(|| rules);
        let guard = PoolGuard(self.clone());
        // A database that does not answer is checked later.
        let _later = tokio::time::timeout(FIRST_CHECK, guard.check()).await.unwrap_or(Ok(false))?;
        Ok(guard)
    }
}

impl Pool {
    /// Returns when the process may claim new work.
    pub async fn until_fit(&self) {
        self.gate.until(true).await;
    }

    /// Returns when the process must not claim new work.
    pub async fn until_unfit(&self) {
        self.gate.until(false).await;
    }
}

impl PoolGuard {
    /// Checks periodically until `end`, and then deletes this process's row in `replicas`.
    ///
    /// # Errors
    /// A key differs from the one of the same id that sealed the stored values. The process must end.
    pub async fn run(self, end: CancellationToken) -> Result<(), Misconfigured> {
        while !end.is_cancelled() {
            let Some(checked) = end.run_until_cancelled(self.check()).await else { break };
            let pause = if checked? { PERIOD } else { RETRY };
            let _ended = end.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        let leaving = async {
            match self.0.gate.rules.get() {
                Some(rules) => rules.replica.leave(&mut *self.0.lend().await?).await,
                None => Ok(()),
            }
        };
        // Without the deletion the process counts as running for another minute.
        if let Ok(Err(error)) = tokio::time::timeout(LEAVING, leaving).await {
            tracing::debug!(error = %Chain(&error), "row of this replica could not be deleted");
        }
        Ok(())
    }

    /// Checks the database. True when the process may claim work.
    async fn check(&self) -> Result<bool, Misconfigured> {
        let checked = async { self.0.gate.decide(&mut *self.0.lend().await?).await };
        match panic_as_error(checked).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(Unfit::WrongKeys(ids))) => Err(Misconfigured {
                setting: "ENCRYPTION_KEYS",
                rule: format!(
                    "has other bytes for {} than the stored values were sealed with",
                    ids.join(", ")
                ),
            }),
            Ok(Err(_unfit)) => Ok(false),
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "check of the database failed; will retry");
                Ok(false)
            }
        }
    }
}
