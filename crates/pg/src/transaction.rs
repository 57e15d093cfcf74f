//! A transaction as a value, for work that cannot be one closure of [`Pool::transaction`].

use std::ops::{Deref, DerefMut};

use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};

use crate::pool::Work;
use crate::{Error, Pool, PooledConnection};

type Manager = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A connection inside a transaction. If it is dropped before the transaction's end, also by a panic, the connection is
/// closed: the server rolls back and releases the locks at once.
#[derive(Debug)]
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Transaction(Option<PooledConnection>);

impl Deref for Transaction {
    type Target = AsyncPgConnection;

    #[expect(clippy::expect_used, reason = "only what ends the transaction takes it, and that consumes it")]
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("an open transaction")
    }
}

impl DerefMut for Transaction {
    #[expect(clippy::expect_used, reason = "as above")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect("an open transaction")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close();
        }
    }
}

/// Runs `work` in a savepoint of the caller's transaction. An error rolls back the effects of `work`, and the
/// transaction may continue.
///
/// # Errors
/// The error of `work`, or the database's.
pub async fn savepoint<R, F>(conn: &mut AsyncPgConnection, work: F) -> Result<R, Error>
where
    for<'r> F: AsyncFnOnce(&'r mut AsyncPgConnection) -> Result<R, Error>
        + Work<&'r mut AsyncPgConnection, Result<R, Error>, Future: Send>
        + Send,
    R: Send,
{
    Manager::begin_transaction(conn).await?;
    match work(conn).await {
        Ok(value) => {
            Manager::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            Manager::rollback_transaction(conn).await?;
            Err(error)
        }
    }
}

impl Pool {
    /// Begins a transaction.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let mut transaction = Transaction(Some(self.get().await?));
        Manager::begin_transaction(&mut *transaction).await?;
        Ok(transaction)
    }
}

impl Transaction {
    /// Commits all effects.
    ///
    /// # Errors
    /// The database rejects the commit, or the connection breaks: then the commit may have happened.
    pub async fn commit(mut self) -> Result<(), Error> {
        failpoint::hit("pg.before_commit");
        Manager::commit_transaction(&mut *self).await?;
        failpoint::hit("pg.after_commit");
        drop(self.0.take());
        Ok(())
    }

    /// Rolls back, and returns the connection to the pool.
    pub async fn rollback(mut self) {
        match Manager::rollback_transaction(&mut *self).await {
            Ok(()) => drop(self.0.take()),
            Err(rollback) => tracing::debug!(%rollback, "rollback failed; the connection is closed"),
        }
    }
}
