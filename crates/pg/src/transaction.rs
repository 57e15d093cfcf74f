//! A transaction that is handed around, for work that [`Pool::transaction`] cannot take as one closure.

use std::ops::{Deref, DerefMut};

use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};

use crate::{Error, Pool, PooledConnection};

type Manager = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A connection inside a transaction. Dropped before [`Transaction::commit`], the connection is thrown away and the
/// server rolls back.
#[derive(Debug)]
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Transaction(PooledConnection);

impl Deref for Transaction {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Pool {
    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let mut connection = self.get().await?;
        Manager::begin_transaction(&mut *connection).await?;
        Ok(Transaction(connection))
    }
}

impl Transaction {
    /// Makes everything that was written last.
    ///
    /// # Errors
    /// When the database refuses, or is lost: then the commit may have happened all the same.
    pub async fn commit(mut self) -> Result<(), Error> {
        Ok(Manager::commit_transaction(&mut *self.0).await?)
    }

    /// Takes everything back and keeps the connection for others.
    pub async fn rollback(mut self) {
        if let Err(rollback) = Manager::rollback_transaction(&mut *self.0).await {
            tracing::debug!(%rollback, "rolling back failed; the connection is thrown away");
        }
    }
}
