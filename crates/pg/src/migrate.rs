//! Migrations, which run once when several replicas start at the same time.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use domain::PermanentError;
use secrecy::SecretString;

use crate::connection::Opener;
use crate::{Error, SchemaGap};

/// Key of the advisory lock that serializes replicas. All replicas use the same one; the number is arbitrary.
const LOCK: i32 = 0x7a61_706c;

/// The reason why a schema could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached, or the lock cannot be taken.
    #[error(transparent)]
    Database(#[from] Error),
    /// The address is malformed, or its certificates cannot be used.
    #[error("the database's address cannot be used")]
    Address(#[source] PermanentError),
    /// A migration failed and was rolled back. Earlier ones remain applied.
    #[error("a migration failed: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
    /// A column is missing although every migration was applied: the schema was changed by hand.
    #[error("schema_outdated: every migration is applied, but the schema differs: {0}")]
    Columns(SchemaGap),
}

/// Applies pending migrations, logs them, and returns their versions, oldest first. A second replica waits for the
/// first one and then finds none pending.
///
/// # Errors
/// The database cannot be reached, or a migration fails. If a retry cannot help, [`PermanentError`] is among the
/// causes.
pub async fn migrate(
    url: &SecretString,
    migrations: &'static EmbeddedMigrations,
) -> Result<Vec<String>, MigrateError> {
    let opener =
        Opener::new(url, "migrate").map_err(|error| MigrateError::Address(PermanentError::new(error)))?;
    let (client, connection) = opener.open().await.map_err(Error::Connect)?;
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| Error::Unavailable(error.into()))?;
    // A session lock: the server releases it when this connection ends for any reason.
    diesel::sql_query("SELECT pg_advisory_lock(hashtext(current_schema()), $1)")
        .bind::<diesel::sql_types::Integer, _>(LOCK)
        .execute(&mut connection)
        .await
        .map_err(Error::from)?;
    // The harness is synchronous. It uses the async connection from a blocking thread.
    let applied: diesel::migration::Result<Vec<String>> = tokio::task::spawn_blocking(move || {
        let mut connection: AsyncConnectionWrapper<AsyncPgConnection> = connection.into();
        connection
            .run_pending_migrations(Borrowed(migrations))
            .map(|versions| versions.iter().map(MigrationVersion::to_string).collect())
    })
    .await
    .map_err(|panic| MigrateError::Migration(panic.into()))?;
    let applied = applied.map_err(MigrateError::Migration)?;
    for version in &applied {
        tracing::info!(version, "migrated");
    }
    Ok(applied)
}

/// Lends the compiled migrations to the harness, which takes ownership of its source.
struct Borrowed(&'static EmbeddedMigrations);

impl MigrationSource<Pg> for Borrowed {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        self.0.migrations()
    }
}
