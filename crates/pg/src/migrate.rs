//! Migrations, run once by however many replicas start at the same time.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use domain::PermanentError;
use secrecy::SecretString;

use crate::connection::Opener;
use crate::{Error, SchemaGap};

/// The advisory lock replicas queue up at; any number, as long as all take the same.
const LOCK: i32 = 0x7a61_706c;

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached or refused the lock.
    #[error(transparent)]
    Database(#[from] Error),
    /// The address is malformed, or the certificates it names cannot be used.
    #[error("the database's address cannot be used")]
    Address(#[source] PermanentError),
    /// A migration failed; those before it stand, it was rolled back.
    #[error("a migration failed: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
    /// A column is missing although every migration was applied: the schema was changed by hand.
    #[error("schema_outdated: every migration is applied, but the schema differs: {0}")]
    Columns(SchemaGap),
}

/// Applies what the schema lacks, logs it, and returns the versions applied, oldest first. A second replica waits for
/// the first and then finds nothing to do.
///
/// # Errors
/// When the database cannot be reached or a migration fails. Among the causes of what does not heal is [`PermanentError`].
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
    // Session lock: the server lets go of it when this connection ends, however it ends.
    diesel::sql_query("SELECT pg_advisory_lock(hashtext(current_schema()), $1)")
        .bind::<diesel::sql_types::Integer, _>(LOCK)
        .execute(&mut connection)
        .await
        .map_err(Error::from)?;
    // The harness is synchronous; it drives the async connection from a blocking thread.
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

/// Migrations are compiled in and lent, but the harness wants to own its source.
struct Borrowed(&'static EmbeddedMigrations);

impl MigrationSource<Pg> for Borrowed {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        self.0.migrations()
    }
}
