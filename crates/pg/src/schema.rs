//! The schema that a program was compiled for, and its missing parts in a database.

use std::fmt;

use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use diesel_migrations::EmbeddedMigrations;
use secrecy::SecretString;

use crate::{Connection, Error, MigrateError, Pool, migrate};

/// The migrations of a service and the columns that they create.
pub struct Schema {
    migrations: &'static EmbeddedMigrations,
    columns: &'static str,
}

/// The parts of a [`Schema`] that are missing in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaGap {
    /// Versions of the migrations that were not applied, oldest first.
    pub pending: Vec<String>,
    /// Columns that are missing although no migration is pending, as `table.column`.
    pub missing: Vec<String>,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Migrated {
    #[diesel(sql_type = Bool)]
    is_migrated: bool,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

impl fmt::Display for SchemaGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pending.is_empty() {
            write!(f, "missing columns: {}", self.missing.join(", "))
        } else {
            write!(f, "pending migrations: {}", self.pending.join(", "))
        }
    }
}

impl SchemaGap {
    /// Whether nothing is missing. A newer schema with every column has no gap.
    pub const fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.missing.is_empty()
    }
}

impl Schema {
    /// A schema of these migrations. `columns` has a line `table: column column …` for each of their tables.
    pub const fn new(migrations: &'static EmbeddedMigrations, columns: &'static str) -> Self {
        Self { migrations, columns }
    }

    /// Applies pending migrations, as [`migrate`] does, and checks that every column exists.
    ///
    /// # Errors
    /// As [`migrate`]; [`MigrateError::Columns`] when a column is missing although every migration was applied.
    pub async fn migrate(&self, url: &SecretString) -> Result<(), MigrateError> {
        migrate(url, self.migrations).await?;
        let gap = self.gap(&mut *Pool::new(url, 1, "migrate")?.get().await?).await?;
        if gap.is_empty() { Ok(()) } else { Err(MigrateError::Columns(gap)) }
    }

    /// The parts that are missing in the database.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn gap(&self, conn: &mut Connection) -> Result<SchemaGap, Error> {
        let pending = self.pending(conn).await?;
        // Columns of a pending migration are missing because of it.
        let missing = if pending.is_empty() { self.missing(conn).await? } else { Vec::new() };
        Ok(SchemaGap { pending, missing })
    }

    async fn pending(&self, conn: &mut Connection) -> Result<Vec<String>, Error> {
        let versions = self.versions()?;
        let Migrated { is_migrated } =
            sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS is_migrated")
                .get_result(conn)
                .await?;
        if !is_migrated {
            return Ok(versions);
        }
        let pending = sql_query(
            "SELECT u.name FROM unnest($1) AS u (name) \
             WHERE u.name NOT IN (SELECT version FROM __diesel_schema_migrations) ORDER BY u.name",
        )
        .bind::<Array<Text>, _>(versions);
        let pending: Vec<Name> = pending.load(conn).await?;
        Ok(pending.into_iter().map(|it| it.name).collect())
    }

    /// Every migration's version, oldest first.
    fn versions(&self) -> Result<Vec<String>, Error> {
        let migrations =
            MigrationSource::<Pg>::migrations(self.migrations).map_err(DieselError::QueryBuilderError)?;
        let mut versions: Vec<String> = migrations.iter().map(|it| it.name().version().to_string()).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    async fn missing(&self, conn: &mut Connection) -> Result<Vec<String>, Error> {
        let lines = self.columns.lines().filter_map(|line| line.split_once(": "));
        let expected: Vec<String> = lines
            .flat_map(|(table, columns)| columns.split(' ').map(move |column| format!("{table}.{column}")))
            .collect();
        let missing = sql_query(
            "SELECT u.name FROM unnest($1) AS u (name) WHERE u.name NOT IN ( \
                 SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                 JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND a.attnum > 0 \
                     AND NOT a.attisdropped) \
             ORDER BY u.name",
        )
        .bind::<Array<Text>, _>(expected);
        let missing: Vec<Name> = missing.load(conn).await?;
        Ok(missing.into_iter().map(|it| it.name).collect())
    }
}
