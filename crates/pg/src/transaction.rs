//! A transaction that is handed around, for work that [`Pool::transaction`] cannot take as one closure.

use std::ops::{Deref, DerefMut};

use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};

use crate::pool::Work;
use crate::{Error, Pool, PooledConnection};

type Manager = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A connection inside a transaction. Dropping it before the transaction's end, also in a panic, closes the connection: the
/// server rolls back and releases the locks at once.
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

/// Runs `work` in a savepoint of the caller's transaction. An error takes back what `work` wrote, and the transaction may go
/// on.
///
/// # Errors
/// What `work` returned, or the database's.
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
    /// When the database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let mut transaction = Transaction(Some(self.get().await?));
        Manager::begin_transaction(&mut *transaction).await?;
        Ok(transaction)
    }
}

impl Transaction {
    /// Makes everything that was written last.
    ///
    /// # Errors
    /// When the database refuses, or is lost: then the commit may have happened all the same.
    pub async fn commit(mut self) -> Result<(), Error> {
        failpoint::hit("pg.before_commit");
        Manager::commit_transaction(&mut *self).await?;
        failpoint::hit("pg.after_commit");
        drop(self.0.take());
        Ok(())
    }

    /// Takes everything back and keeps the connection for others.
    pub async fn rollback(mut self) {
        match Manager::rollback_transaction(&mut *self).await {
            Ok(()) => drop(self.0.take()),
            Err(rollback) => tracing::debug!(%rollback, "rolling back failed; the connection is closed"),
        }
    }
}
