//! A process works on its database only while the schema and its encryption keys are as the process needs them.
//!
//! Invariants: a guarded [`Pool`] lends no connection before its schema and keys were looked at, nor while they are wrong;
//! while a key is missing it lends none to take up new work ([`Pool::get_to_claim`]), and what is under way is finished or
//! given back. Who is refused gets an error that is waited out as an absent database is ([`Error::is_unavailable`]).

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use domain::{Chain, Misconfigured, panic_as_error};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::replicas::Replica;
use crate::sealed::Keyring;
use crate::{Connection, Error, Pool, Schema, keys};

/// How often a process that works looks again, and announces itself.
const PERIOD: Duration = Duration::from_secs(10);
/// How often one that must not work looks again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a start waits for the first look, as long as for a connection; a database that is away is looked at when it
/// comes.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How long the end waits for the process' row to be deleted.
const LEAVING: Duration = Duration::from_secs(1);

/// Why a process must not work on its database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The schema is older than the one the program was compiled for, or lacks a column.
    #[error("schema_outdated: {0}")]
    SchemaOutdated(String),
    /// Stored values may be sealed with these keys, which the process does not have.
    #[error("encryption_key_missing: ENCRYPTION_KEYS lacks {}, which stored values are sealed with", .0.join(", "))]
    KeysMissing(Vec<String>),
    /// The process has keys of these ids that are not those the stored values are sealed with.
    #[error("encryption_key_wrong: ENCRYPTION_KEYS has other bytes for {} than the stored values were sealed with", .0.join(", "))]
    WrongKeys(Vec<String>),
}

/// None: nobody has looked yet.
type Verdict = Option<Result<(), Unfit>>;

/// What a pool lets its connections out for. Until rules are given, for everything.
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
    /// Whether connections are let out, to `claim` new work or for what is under way; false while nobody has looked yet.
    ///
    /// # Errors
    /// Why they are not.
    pub(crate) fn is_open(&self, claim: bool) -> Result<bool, Error> {
        if self.rules.get().is_none() {
            return Ok(true);
        }
        let verdict = self.verdict.borrow();
        verdict.as_ref().map_or(Ok(false), |verdict| permits(verdict, claim).map(|()| true))
    }

    /// Looks at the database first.
    ///
    /// # Errors
    /// As [`Gate::is_open`]; the database's.
    pub(crate) async fn open(&self, conn: &mut Connection, claim: bool) -> Result<(), Error> {
        permits(&self.decide(conn).await?, claim)
    }

    /// Looks at the database and decides; announces this process.
    ///
    /// # Errors
    /// The database's, which leave the decision as it was.
    async fn decide(&self, conn: &mut Connection) -> Result<Result<(), Unfit>, Error> {
        let Some(rules) = self.rules.get() else { return Ok(Ok(())) };
        let verdict = match rules.look(conn).await {
            Ok(()) => Ok(()),
            Err(Error::Unfit(unfit)) => Err(unfit),
            Err(error) => return Err(error),
        };
        let before = self.verdict.send_replace(Some(verdict.clone()));
        match &verdict {
            Err(unfit) if before.as_ref() != Some(&verdict) => {
                tracing::warn!(reason = %unfit, "the process must not work on the database; will look again");
            }
            Ok(()) if matches!(before, Some(Err(_))) => {
                tracing::info!("the process works on the database again")
            }
            _ => {}
        }
        Ok(verdict)
    }

    /// Returns when the process may take up new work, or must not any more.
    async fn until(&self, may_claim: bool) {
        if self.rules.get().is_some() {
            let wanted = |verdict: &Verdict| matches!(verdict, Some(Ok(()))) == may_claim;
            let mut verdict = self.verdict.subscribe();
            // The sender lives as long as the pool.
            let _is_reached = verdict.wait_for(wanted).await.is_ok();
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
    async fn look(&self, conn: &mut Connection) -> Result<(), Error> {
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

/// Keeps looking whether a pool's process may work.
pub struct PoolGuard(Pool);

impl fmt::Debug for PoolGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolGuard").field(&self.0).finish()
    }
}

impl Pool {
    /// From now on this pool and its clones lend connections only while the database has this schema and these keys are
    /// right for it: the keys open what others have sealed, and none is missing. Looks once; without a database, it is
    /// looked at when it is there.
    ///
    /// # Errors
    /// A key is not the one of its id that the database was sealed with.
    pub async fn guard(
        &self,
        schema: &'static Schema,
        keyring: &Keyring,
    ) -> Result<PoolGuard, Misconfigured> {
        let rules = Rules { schema, keyring: keyring.clone(), replica: Replica::default() };
        self.gate.rules.get_or_init(|| rules);
        let guard = PoolGuard(self.clone());
        // A database that does not answer is looked at later.
        let _later = tokio::time::timeout(FIRST_LOOK, guard.look()).await.unwrap_or(Ok(false))?;
        Ok(guard)
    }
}

impl Pool {
    /// Returns when the process may take up new work.
    pub async fn until_fit(&self) {
        self.gate.until(true).await;
    }

    /// Returns when the process must not take up new work.
    pub async fn until_unfit(&self) {
        self.gate.until(false).await;
    }
}

impl PoolGuard {
    /// Looks again and again until `end`, and then deletes the announcement of this process.
    ///
    /// # Errors
    /// A key is not the one of its id that the database was sealed with: the process must end.
    pub async fn run(self, end: CancellationToken) -> Result<(), Misconfigured> {
        while !end.is_cancelled() {
            let Some(looked) = end.run_until_cancelled(self.look()).await else { break };
            let pause = if looked? { PERIOD } else { RETRY };
            let _ended = end.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        let leaving = async {
            match self.0.gate.rules.get() {
                Some(rules) => rules.replica.leave(&mut *self.0.lend().await?).await,
                None => Ok(()),
            }
        };
        // Otherwise it counts as alive for another minute.
        if let Ok(Err(error)) = tokio::time::timeout(LEAVING, leaving).await {
            tracing::debug!(error = %Chain(&error), "the replica's row could not be deleted");
        }
        Ok(())
    }

    /// Whether the process may work.
    async fn look(&self) -> Result<bool, Misconfigured> {
        let looked = async { self.0.gate.decide(&mut *self.0.lend().await?).await };
        match panic_as_error(looked).await {
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
                tracing::debug!(error = %Chain(&error), "the database cannot be looked at; will look again");
                Ok(false)
            }
        }
    }
}
