//! The connection pool and its transactions.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use ::deadpool::managed::QueueMode;
use diesel::{ConnectionError, sql_query};
use diesel_async::pooled_connection::deadpool::{self, Object};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{Chain, backoff};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::Error;
use crate::connection::Opener;
use crate::gauges::{Counted, Gauges};
use crate::guard::Gate;

/// Server-side limits: of statements, of waits for locks, and of transactions whose client is silent (and with them
/// their locks). `options=-c statement_timeout=…` in the address has precedence.
const LIMITS: &str =
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s";
/// Our statements are short, although the planner may estimate otherwise. JIT compilation takes half a second each time
/// and saves nothing.
const PLANNING: &str = "-c jit=off";
/// A cached plan may be made while a table is small, and still be used when it is large.
const BY_INDEX: &str = "-c enable_seqscan=off";
/// Time limit of waiting for a free connection. The caller then gets a 503.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of attempts of a transaction.
const TRIES: u32 = 4;
/// Delay after the first collision. It doubles after each further one.
const RETRY_BASE: Duration = Duration::from_millis(20);
const RETRY_CAP: Duration = Duration::from_millis(200);

/// Connections of one service to its schema. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: deadpool::Pool<AsyncPgConnection>,
    gauges: Gauges,
    /// Opens connections outside the pool.
    pub(crate) opener: Opener,
    pub(crate) gate: Arc<Gate>,
}

/// A connection borrowed from the pool. It is closed when a panic drops it, because the state of its session is
/// unknown.
pub struct PooledConnection {
    /// `None` only after it is closed.
    inner: Option<Object<AsyncPgConnection>>,
    _in_use: Counted,
}

/// An async closure whose future can be named, so that it can be required to be `Send`. Every async closure implements
/// it.
pub trait Work<T, R>: FnOnce(T) -> <Self as Work<T, R>>::Future {
    /// Result of the closure.
    type Future: Future<Output = R>;
}

impl<F, T, Fut, R> Work<T, R> for F
where
    F: FnOnce(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
}

impl PooledConnection {
    /// Closes the connection instead of returning it.
    pub(crate) fn close(mut self) {
        self.discard();
    }

    fn discard(&mut self) {
        drop(self.inner.take().map(Object::take));
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.discard();
        }
    }
}

impl Deref for PooledConnection {
    type Target = AsyncPgConnection;

    #[expect(
        clippy::expect_used,
        reason = "only closing and dropping take the connection, and both end the value"
    )]
    fn deref(&self) -> &Self::Target {
        self.inner.as_ref().expect("an open connection")
    }
}

impl DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "as above")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.inner.as_mut().expect("an open connection")
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledConnection")
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.inner.status()).finish()
    }
}

impl Pool {
    /// Creates a pool of at most `size` connections without opening any. If the database is down, [`Pool::get`] fails
    /// until it is available.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn new(url: &SecretString, size: usize, application_name: &str) -> Result<Self, Error> {
        Self::with(PLANNING, url, size, application_name)
    }

    /// As [`Pool::new`], for a service whose statements are prepared ([`crate::prepared`]) and all find their rows by
    /// an index. No plan scans a whole table where an index exists, however small the table is.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn by_index(url: &SecretString, size: usize, application_name: &str) -> Result<Self, Error> {
        Self::with(&format!("{PLANNING} {BY_INDEX}"), url, size, application_name)
    }

    fn with(planning: &str, url: &SecretString, size: usize, application_name: &str) -> Result<Self, Error> {
        let mut opener = Opener::new(url, application_name)?;
        // Of two values for one setting the server uses the last.
        let options = format!("{LIMITS} {planning} {}", opener.config.get_options().unwrap_or_default());
        opener.config.options(options.trim());
        let beside = opener.clone();
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new(move |_url| {
            let opener = opener.clone();
            Box::pin(async move {
                let (client, connection) = opener.open().await.map_err(|error| bad_connection(&error))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), manager);
        let pool = deadpool::Pool::builder(manager)
            .max_size(size)
            // The connections that were used last are reused first. The others then need no buffer as large as the
            // largest result.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::Unavailable(error.into()))?;
        Ok(Self {
            inner: pool,
            gauges: Gauges::of(application_name, size),
            opener: beside,
            gate: Arc::default(),
        })
    }

    /// Borrows a connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be reached or all connections remain in use; [`Error::Unfit`]
    /// while the pool is guarded ([`Pool::guard`]) and the process must not work.
    pub async fn get(&self) -> Result<PooledConnection, Error> {
        self.lend_for(false).await
    }

    /// Borrows a connection to claim new work.
    ///
    /// # Errors
    /// As [`Pool::get`]; [`Error::Unfit`] also while a key is missing.
    pub async fn get_to_claim(&self) -> Result<PooledConnection, Error> {
        self.lend_for(true).await
    }

    async fn lend_for(&self, claim: bool) -> Result<PooledConnection, Error> {
        let is_open = self.gate.is_open(claim)?;
        let mut lent = self.lend().await?;
        if !is_open {
            self.gate.open(&mut lent, claim).await?;
        }
        failpoint::hit("pg.after_lend");
        Ok(lent)
    }

    /// Borrows a connection even while the process must not work.
    pub(crate) async fn lend(&self) -> Result<PooledConnection, Error> {
        let waiting = self.gauges.wait();
        let lent = timeout(WAIT_TIMEOUT, self.inner.get()).await;
        drop(waiting);
        match lent {
            Ok(Ok(inner)) => {
                let in_use = self.gauges.lend(self.inner.status().size);
                Ok(PooledConnection { inner: Some(inner), _in_use: in_use })
            }
            Ok(Err(error)) => Err(Error::Unavailable(error.into())),
            Err(elapsed) => Err(Error::Unavailable(elapsed.into())),
        }
    }

    /// Runs `work` in one transaction: commits when it returns `Ok`, otherwise rolls back. If it collides with another
    /// transaction (a deadlock, a serialization failure), it is repeated from its beginning, three times at most.
    ///
    /// If the future is dropped, the connection is closed and the server rolls back.
    ///
    /// # Errors
    /// The error of `work` or of the transaction. An error of the commit itself may mean that it happened: the work
    /// must be safe to repeat.
    pub async fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        for<'r> F: AsyncFnOnce(&'r mut AsyncPgConnection) -> Result<R, E>
            + Work<&'r mut AsyncPgConnection, Result<R, E>, Future: Send>
            + Clone
            + Send,
        R: Send,
        E: std::error::Error + From<Error> + Send + 'static,
    {
        let mut tries = 1;
        loop {
            match self.try_transaction(work.clone()).await {
                Err(error) if is_collision(&error) && may_try_again(tries).await => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        for<'r> F: AsyncFnOnce(&'r mut AsyncPgConnection) -> Result<R, E>
            + Work<&'r mut AsyncPgConnection, Result<R, E>, Future: Send>
            + Send,
        R: Send,
        E: From<Error> + Send,
    {
        let mut transaction = self.begin().await?;
        match work(&mut transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Checks that the database answers and that the process may claim new work on it.
    ///
    /// # Errors
    /// The database does not answer; [`Error::Unfit`] when the process must not claim work.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut connection = self.get_to_claim().await?;
        sql_query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    /// Number of open connections and of idle connections.
    pub fn usage(&self) -> (usize, usize) {
        let status = self.inner.status();
        (status.size, status.available)
    }
}

/// After the `tries`th collision of a transaction: waits for a random time, and returns whether to repeat it from its
/// beginning.
pub async fn may_try_again(tries: u32) -> bool {
    if tries >= TRIES {
        return false;
    }
    metrics::counter!("db_transaction_retries_total").increment(1);
    let pause = backoff::exponential(RETRY_BASE, tries, RETRY_CAP);
    tokio::time::sleep(backoff::jitter(pause, 0.5, rand::random())).await;
    true
}

/// Whether the work failed by a collision, inside any wrapping error.
fn is_collision(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        matches!(error.downcast_ref(), Some(Error::Collision(_)))
            || error.downcast_ref().is_some_and(crate::error::is_collision)
    })
}

fn bad_connection(error: &tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(Chain(error).to_string())
}
