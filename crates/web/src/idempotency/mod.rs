//! `Idempotency-Key`: a repeated request has no second effect, and gets the first one's answer.
//!
//! Invariant: effect and answer are committed in one transaction, under a lock of caller and key. A crash leaves both
//! or neither. Of two concurrent requests one does not wait: it is rejected because the first one still runs.

mod answer;
mod request;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use domain::Clock;
use pg::RetentionPolicy;
use pg::sealed::{Keyring, Place};
use uuid::Uuid;

pub use self::answer::Answer;
pub use self::request::Idempotent;
use self::request::Request;
pub(crate) use self::request::fingerprint;
use crate::problem::{IDEMPOTENCY_KEY_REUSED, Problem, REQUEST_RUNNING};
use crate::store::{self, StoredAnswer};

/// Retention of answers.
const KEEP: Duration = Duration::from_hours(24);
/// A request is answered within seconds: a retry after this time finds the answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Deletes expired answers.
pub const RETAIN_ANSWERS: RetentionPolicy = RetentionPolicy {
    what: "idempotency_keys",
    sql: "DELETE FROM idempotency_keys WHERE id IN ( \
              SELECT id FROM idempotency_keys WHERE expires_at <= now() - $1 ORDER BY expires_at LIMIT $2 \
              FOR UPDATE SKIP LOCKED)",
    keep: Duration::ZERO,
};

/// The stored answers of a service, in its table `idempotency_keys`. Cheap to clone. [`Idempotent`] needs it as app
/// data (`Data::new(idempotency)`).
#[derive(Debug, Clone)]
pub struct Idempotency {
    pool: pg::Pool,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
}

impl Idempotency {
    /// Stores answers in the pool's schema, sealed with these keys.
    pub fn new(pool: pg::Pool, keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        Self { pool, keyring, clock }
    }

    async fn find(
        &self,
        conn: &mut pg::Connection,
        request: &Request,
    ) -> Result<Option<HttpResponse>, Problem> {
        let found = store::find(conn, request.id, self.clock.now()).await;
        let Some(stored) = found.map_err(|error| Problem::database(&error))? else { return Ok(None) };
        if stored.request_hash != request.hash() {
            return Err(Problem::new(&IDEMPOTENCY_KEY_REUSED));
        }
        let body = self.keyring.open(&place(request.id), &stored.body);
        let body = body.map_err(|error| Problem::sealed(&error))?;
        let status = u16::try_from(stored.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let corrupt = || Problem::database(&pg::Error::corrupt("idempotency_keys", request.id, "status"));
        Ok(Some(answer::replay(status.ok_or_else(corrupt)?, body.to_vec())))
    }

    async fn keep(
        &self,
        conn: &mut pg::Connection,
        request: &Request,
        answer: &Answer,
    ) -> Result<(), Problem> {
        let body = self.keyring.seal(&place(request.id), &answer.body);
        let body = body.map_err(|error| Problem::sealed(&error))?;
        let stored =
            StoredAnswer { request_hash: request.hash(), status: answer.status.as_u16().into(), body };
        let now = self.clock.now();
        let written = store::keep(conn, request.id, &stored, now, now + KEEP).await;
        written.map_err(|error| Problem::database(&error))
    }
}

/// The sealed columns of stored answers, for a service's `rotate-keys`.
pub const SEALED: pg::SealedTable = pg::SealedTable { table: "idempotency_keys", columns: &["body"] };

fn place(row: Uuid) -> Place {
    SEALED.place("body", row)
}

impl Idempotent {
    /// The stored answer of this request, if there is one. For handlers that call another service before
    /// [`Idempotent::run`]: a repeated request does not call it again.
    ///
    /// # Errors
    /// 422 if the key was used by another request, 503 without the database.
    pub async fn answered(&self) -> Result<Option<HttpResponse>, Problem> {
        let Some(request) = &self.request else { return Ok(None) };
        let mut conn = self.answers.pool.get().await.map_err(|error| Problem::database(&error))?;
        self.answers.find(&mut conn, request).await
    }

    /// Answers the request with the stored answer, or by `work`, whose answer is stored in the same transaction. An
    /// error of `work` rolls back its effects, and nothing is stored. If it collides with another transaction, it is
    /// repeated from the beginning, a few times at most. Without a key `work` runs each time, also in a transaction.
    ///
    /// # Errors
    /// The error of `work`; 409 while the first request of the key runs; 422 if the key was used by another request;
    /// 503 without the database. After a 503 the effect may be committed, and a repetition with the same key returns
    /// its answer.
    pub async fn run(
        self,
        work: impl AsyncFn(&mut pg::Connection) -> Result<Answer, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let (response, _no_effects) =
            self.run_with_effects(async |conn: &mut pg::Connection| Ok((work(conn).await?, ()))).await?;
        Ok(response)
    }

    /// As [`Idempotent::run`]. It also returns a second value of `work`, after the commit: for logs, metrics and
    /// notifications. `None` if the answer was stored before. Values of rolled back attempts are dropped.
    ///
    /// # Errors
    /// As [`Idempotent::run`].
    pub async fn run_with_effects<T>(
        self,
        work: impl AsyncFn(&mut pg::Connection) -> Result<(Answer, T), Problem>,
    ) -> Result<(HttpResponse, Option<T>), Problem> {
        let mut tries = 1;
        loop {
            match self.run_once(&work).await {
                Err(problem) if problem.is_collision() && pg::may_try_again(tries).await => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn run_once<T>(
        &self,
        work: &impl AsyncFn(&mut pg::Connection) -> Result<(Answer, T), Problem>,
    ) -> Result<(HttpResponse, Option<T>), Problem> {
        let begun = self.answers.pool.begin().await;
        let mut transaction = begun.map_err(|error| Problem::database(&error))?;
        match self.within(&mut transaction, work).await {
            Ok(answer) => {
                transaction.commit().await.map_err(|error| Problem::database(&error))?;
                Ok(answer)
            }
            Err(problem) => {
                transaction.rollback().await;
                Err(problem)
            }
        }
    }

    async fn within<T>(
        &self,
        conn: &mut pg::Connection,
        work: &impl AsyncFn(&mut pg::Connection) -> Result<(Answer, T), Problem>,
    ) -> Result<(HttpResponse, Option<T>), Problem> {
        let Some(request) = &self.request else {
            let (answer, effects) = work(conn).await?;
            return Ok((answer.into(), Some(effects)));
        };
        // A finished request needs no lock. Otherwise the lock is taken and the lookup repeated under it.
        if let Some(answer) = self.answers.find(conn, request).await? {
            return Ok((answer, None));
        }
        let locked = store::try_lock(conn, request.id).await;
        if !locked.map_err(|error| Problem::database(&error))? {
            return Err(Problem::new(&REQUEST_RUNNING).retry_after(ASK_AGAIN));
        }
        if let Some(answer) = self.answers.find(conn, request).await? {
            return Ok((answer, None));
        }
        let (answer, effects) = work(conn).await?;
        self.answers.keep(conn, request, &answer).await?;
        Ok((answer.into(), Some(effects)))
    }
}
