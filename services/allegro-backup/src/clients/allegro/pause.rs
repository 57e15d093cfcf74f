//! Pauses after a 429, shared through Redis by all replicas with the same client id.
//!
//! Allegro counts some limits per user, so a 429 pauses only the account that met it. When a second account meets one within
//! a minute, the limit is the client id's, and everyone pauses (ADR 0127).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{Script, pipe};
use deadpool_redis::{Config, Pool, Runtime};
use domain::TokenId;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// Shortest pause. Allegro releases a blocked client id after a minute.
pub(super) const PAUSE: Duration = Duration::from_mins(1);
/// Longest pause of an account that meets 429 after each pause, unless Allegro asks for a longer one.
const LONGEST: Duration = Duration::from_mins(15);
/// Two accounts that meet 429 within this time show that the limit is the client id's.
const TOGETHER: Duration = Duration::from_mins(1);
/// A reply of Redis is valid for this time: Redis is asked once a second for each account, not once for each call.
const REPLY_VALIDITY: Duration = Duration::from_secs(1);
/// If Redis does not reply within this time, the replica pauses by itself.
const REDIS_TIMEOUT: Duration = Duration::from_millis(500);

/// On whose behalf Allegro is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A connected account.
    Account(TokenId),
    /// The application, for an account that is not connected yet.
    Application,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(token_id) => write!(f, "{token_id}"),
            Self::Application => f.write_str("application"),
        }
    }
}

/// Who pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Only the subject of the call.
    Subject,
    /// Everyone with our client id.
    Everyone,
}

/// Why a call was not made, or was refused with 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Halt {
    /// Time until calls are allowed again.
    pub(crate) wait: Duration,
    /// Who waits.
    pub(crate) scope: Scope,
    /// Allegro answered this call with 429, although it had answered others for the same subject since the previous 429.
    pub(crate) is_alone: bool,
}

/// The pauses of one client id. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pause {
    redis: Pool,
    begin: Arc<Script>,
    prefix: String,
    local: Arc<Mutex<Local>>,
}

/// What this replica knows.
#[derive(Default)]
struct Local {
    everyone_until: Option<Instant>,
    subjects: HashMap<Subject, Known>,
}

/// What this replica knows about a subject.
#[derive(Default, Clone, Copy)]
struct Known {
    until: Option<Instant>,
    redis_asked_at: Option<Instant>,
    refused_at: Option<Instant>,
    /// Pauses since the latest answer.
    pauses: u32,
    /// Whether Allegro has answered since the latest 429.
    was_answered: bool,
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Pause {
    /// The pauses of a client id. Does not connect yet.
    ///
    /// # Errors
    /// The URL is malformed.
    pub(crate) fn new(
        redis_url: &SecretString,
        client_id: &str,
    ) -> Result<Self, deadpool_redis::CreatePoolError> {
        let redis = Config::from_url(redis_url.expose_secret()).create_pool(Some(Runtime::Tokio1))?;
        let begin = Arc::new(Script::new(include_str!("pause.lua")));
        Ok(Self { redis, begin, prefix: format!("allegro:pause:{client_id}"), local: Arc::default() })
    }

    /// The pause in which the subject may not call, if there is one.
    pub(crate) async fn remaining(&self, subject: Subject) -> Option<Halt> {
        let now = Instant::now();
        {
            let mut local = self.local();
            let halt = local.halt(subject, now);
            let known = local.subjects.entry(subject).or_default();
            if halt.is_some() || known.redis_asked_at.is_some_and(|at| now - at < REPLY_VALIDITY) {
                return halt;
            }
            known.redis_asked_at = Some(now);
        }
        let (everyone, own) = timeout(REDIS_TIMEOUT, self.ask(subject)).await.ok().flatten()?;
        let mut local = self.local();
        local.everyone_until = local.everyone_until.max(everyone.map(|wait| now + wait));
        let known = local.subjects.entry(subject).or_default();
        known.until = known.until.max(own.map(|wait| now + wait));
        local.halt(subject, now)
    }

    /// Begins a pause after a 429, of `wait` or a minute, whichever is longer. It is longer after each 429 without an answer
    /// in between. A longer pause that is in effect stays.
    pub(crate) async fn begin(&self, subject: Subject, wait: Duration) -> Halt {
        let now = Instant::now();
        let (wait, is_alone, others_refused) = {
            let mut local = self.local();
            let others_refused = matches!(subject, Subject::Account(_)) && local.others_refused(subject, now);
            let known = local.subjects.entry(subject).or_default();
            // Calls that were under way when the pause began belong to it.
            if known.until.is_none_or(|until| until <= now) {
                known.pauses = known.pauses.saturating_add(1);
            }
            let grown = PAUSE.saturating_mul(1 << known.pauses.saturating_sub(1).min(10)).min(LONGEST);
            let wait = wait.max(grown);
            let is_alone = known.was_answered;
            known.until = known.until.max(Some(now + wait));
            known.refused_at = Some(now);
            known.was_answered = false;
            (wait, is_alone, others_refused)
        };
        let shared = timeout(REDIS_TIMEOUT, self.share(subject, wait)).await.ok().flatten();
        if shared.is_none() {
            tracing::warn!("Redis does not reply: other replicas do not learn of the pause");
        }
        let is_everyones = shared.unwrap_or(false) || others_refused;
        if is_everyones {
            let mut local = self.local();
            local.everyone_until = local.everyone_until.max(Some(now + wait));
        }
        Halt { wait, scope: if is_everyones { Scope::Everyone } else { Scope::Subject }, is_alone }
    }

    /// Records that Allegro answered a call of the subject.
    pub(crate) fn was_answered(&self, subject: Subject) {
        let mut local = self.local();
        let known = local.subjects.entry(subject).or_default();
        known.was_answered = true;
        known.pauses = 0;
    }

    /// Asks Redis whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) async fn ping(&self) -> Result<(), deadpool_redis::PoolError> {
        let mut connection = self.redis.get().await?;
        let _pong: String = deadpool_redis::redis::cmd("PING").query_async(&mut connection).await?;
        Ok(())
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_of(&self, subject: Subject) -> String {
        format!("{}:{subject}", self.prefix)
    }

    /// The remaining pauses of everyone and of the subject.
    async fn ask(&self, subject: Subject) -> Option<(Option<Duration>, Option<Duration>)> {
        let mut connection = self.redis.get().await.ok()?;
        let mut commands = pipe();
        commands.cmd("PTTL").arg(&self.prefix).cmd("PTTL").arg(self.key_of(subject));
        let (everyone, own): (i64, i64) = commands.query_async(&mut connection).await.ok()?;
        // Negative: there is no such key.
        let wait = |millis: i64| u64::try_from(millis).ok().map(Duration::from_millis);
        Some((wait(everyone), wait(own)))
    }

    /// Begins the pause in Redis; true when everyone pauses.
    async fn share(&self, subject: Subject, wait: Duration) -> Option<bool> {
        let mut connection = self.redis.get().await.ok()?;
        let account = match subject {
            Subject::Account(token_id) => token_id.to_string(),
            Subject::Application => String::new(),
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.begin.prepare_invoke();
        call.key(&self.prefix).key(self.key_of(subject)).key(format!("{}:accounts", self.prefix));
        call.arg(account).arg(millis(wait)).arg(millis(TOGETHER));
        call.invoke_async(&mut connection).await.ok()
    }
}

impl Local {
    fn halt(&self, subject: Subject, now: Instant) -> Option<Halt> {
        let left = |until: Option<Instant>| until.filter(|until| *until > now).map(|until| until - now);
        let of = |scope| move |wait| Halt { wait, scope, is_alone: false };
        let own = self.subjects.get(&subject).and_then(|known| left(known.until));
        left(self.everyone_until).map(of(Scope::Everyone)).or_else(|| own.map(of(Scope::Subject)))
    }

    /// Whether another account met a 429 in this replica within [`TOGETHER`].
    fn others_refused(&self, subject: Subject, now: Instant) -> bool {
        self.subjects.iter().any(|(other, known)| {
            *other != subject
                && matches!(other, Subject::Account(_))
                && known.refused_at.is_some_and(|at| now - at < TOGETHER)
        })
    }
}
