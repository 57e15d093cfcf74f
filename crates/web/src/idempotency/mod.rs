//! `Idempotency-Key`: a request sent again has no second effect, and gets the first one's answer.
//!
//! Invariant: effect and answer are written in one transaction, under a lock of caller and key. Whatever dies leaves
//! both or neither, and of two at once one waits for nobody: it is told that the first still runs.

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

/// How long an answer is kept.
const KEEP: Duration = Duration::from_hours(24);
/// A request is answered within seconds: asking again later finds the answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Answers whose time is over.
pub const RETAIN_ANSWERS: RetentionPolicy = RetentionPolicy {
    what: "idempotency_keys",
    sql: "DELETE FROM idempotency_keys WHERE id IN ( \
              SELECT id FROM idempotency_keys WHERE expires_at <= now() - $1 ORDER BY expires_at LIMIT $2 \
              FOR UPDATE SKIP LOCKED)",
    keep: Duration::ZERO,
};

/// The answers a service keeps, in its table `idempotency_keys`. Cheap to clone; as app data
/// (`Data::new(idempotency)`) it is what [`Idempotent`] works with.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pool: pg::Pool,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
}

impl Idempotency {
    /// Keeps answers in the pool's schema, sealed with these keys.
    pub fn new(pool: pg::Pool, keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        Self { pool, keyring, clock }
    }

    async fn find(
        &self,
        conn: &mut pg::Connection,
        request: &Request,
    ) -> Result<Option<HttpResponse>, Problem> {
        let found = store::find(conn, request.id, self.clock.now()).await;
        let Some(kept) = found.map_err(|error| Problem::database(&error))? else { return Ok(None) };
        if kept.request_hash != request.hash() {
            return Err(Problem::new(&IDEMPOTENCY_KEY_REUSED));
        }
        let body = self.keyring.open(&place(request.id), &kept.body);
        let body = body.map_err(|error| Problem::sealed(&error))?;
        let status = u16::try_from(kept.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
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
        let kept = StoredAnswer { request_hash: request.hash(), status: answer.status.as_u16().into(), body };
        let now = self.clock.now();
        let written = store::keep(conn, request.id, &kept, now, now + KEEP).await;
        written.map_err(|error| Problem::database(&error))
    }
}

/// What is sealed in the table of kept answers, for a service's `rotate-keys`.
pub const SEALED: pg::SealedTable = pg::SealedTable { table: "idempotency_keys", columns: &["body"] };

fn place(row: Uuid) -> Place {
    SEALED.place("body", row)
}

impl Idempotent {
    /// The answer kept for this request, where there is one already. For handlers that ask somebody outside before
    /// they call [`Idempotent::run`]: a request sent again does not ask again.
    ///
    /// # Errors
    /// 422 where the key came with another request before; 503 without the database.
    pub async fn answered(&self) -> Result<Option<HttpResponse>, Problem> {
        let Some(request) = &self.request else { return Ok(None) };
        let mut conn = self.answers.pool.get().await.map_err(|error| Problem::database(&error))?;
        self.answers.find(&mut conn, request).await
    }

    /// Answers the request: from what is kept, or by `work`, in one transaction with keeping the answer. An error of
    /// `work` takes back what it wrote, and nothing is kept; where it collided with another transaction, it is done again
    /// from its beginning, a few times at most. Without a key `work` is done each time, in a transaction all the same.
    ///
    /// # Errors
    /// What `work` returned; 409 while the same key's first request runs; 422 where the key came with another request
    /// before; 503 without the database: what was asked for may have been done, and the same key tells.
    pub async fn run(
        self,
        work: impl AsyncFn(&mut pg::Connection) -> Result<Answer, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let (response, _no_effects) =
            self.run_with_effects(async |conn: &mut pg::Connection| Ok((work(conn).await?, ()))).await?;
        Ok(response)
    }

    /// As [`Idempotent::run`]. Also returns what `work` returned beside its answer, after the commit: for logs, metrics and
    /// notifications. `None` where the answer was stored before. What a try returned that was rolled back is dropped.
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
        // What is finished needs no lock; only who finds nothing takes it, and looks again under it.
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
