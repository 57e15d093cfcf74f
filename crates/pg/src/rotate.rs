//! Reseals values that were sealed with an older key, while the service works.
//!
//! Invariants: a value is replaced only if it is still the one that was opened, so that a newer value written meanwhile
//! is kept. Progress is visible in the values themselves, so that a rotation may be interrupted, repeated and run twice
//! at once.

use std::io::{self, Write};

use diesel::sql_types::{Array, BigInt, Bytea, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use secrecy::SecretString;
use uuid::Uuid;

use crate::replicas::Alive;
use crate::sealed::{Keyring, Place, SealError};
use crate::{Columns, Error, Pool, Unfit, keys, replicas};

/// Values per statement: few enough that their rows are locked only briefly.
const BATCH: usize = 200;
/// Maximum number of passes: a writer that still seals with an older key would otherwise prevent the end.
const PASSES: usize = 5;

/// A table's sealed columns. Its primary key is a column `id`, a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedTable {
    /// The table.
    pub table: &'static str,
    /// Its columns with sealed values.
    pub columns: &'static [&'static str],
}

impl SealedTable {
    /// Place of a column's value in one row.
    pub const fn place(&self, column: &'static str, row: Uuid) -> Place {
        Place { table: self.table, column, row }
    }
}

/// The reason why not all values are sealed with the first key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// An error of the database.
    #[error(transparent)]
    Database(#[from] Error),
    /// Values that cannot be opened were left unchanged. The log names them.
    #[error("{count} values cannot be opened and were left as they are; the last: {last}")]
    Unopened {
        /// Number of these values.
        count: usize,
        /// Error of the last one.
        last: SealError,
    },
    /// Standard output is closed.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// A process still seals with another key.
    #[error("values are still being sealed with other keys than {0:?}: give it to every process first")]
    StillWritten(String),
    /// Running processes lack the new key and could not open values sealed with it.
    #[error(
        "these replicas do not have the key {key:?}: {replicas}; give it to every process first, behind the key that \
         seals (a process that was killed counts for another minute)"
    )]
    NotEverywhere {
        /// The new key's id.
        key: String,
        /// The replicas and the ids of their keys.
        replicas: String,
    },
}

/// Result of one pass over all values.
#[derive(Default)]
struct Pass {
    /// Number of values not sealed with the first key.
    found: usize,
    /// Number of those that were resealed.
    changed: usize,
    unopened: usize,
    last_trouble: Option<SealError>,
}

#[derive(QueryableByName)]
struct Sealed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bytea)]
    value: Vec<u8>,
}

/// A value to be replaced.
struct Resealed {
    id: Uuid,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Reseals the values of these tables with the keyring's first key, and returns how many were resealed.
///
/// Values that another process seals with an older key afterwards are not detected: all processes must have the new key
/// first.
///
/// # Errors
/// The database fails, a value cannot be opened, or other processes still seal with an older key.
pub async fn rotate(pool: &Pool, keyring: &Keyring, tables: &[SealedTable]) -> Result<usize, RotateError> {
    let mut resealed = 0;
    for _ in 0..PASSES {
        let mut pass = Pass::default();
        for table in tables {
            for column in table.columns {
                rotate_column(pool, keyring, table, column, &mut pass).await?;
            }
        }
        resealed += pass.changed;
        if let Some(last) = pass.last_trouble {
            return Err(RotateError::Unopened { count: pass.unopened, last });
        }
        // Only a pass that finds nothing proves that nothing is left.
        if pass.found == 0 {
            return Ok(resealed);
        }
    }
    Err(RotateError::StillWritten(keyring.sealing_key().to_owned()))
}

/// Reseal all secrets in the database with the first of ENCRYPTION_KEYS; the service may run meanwhile
// Shown as help, hence no full stop.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RotateKeys {}

impl RotateKeys {
    /// The command `rotate-keys` of a service: if every running process has the first key, runs [`rotate`] over its own
    /// connection. Prints the result to standard output, and the processes that still seal with another key to standard
    /// error. Afterwards keys that no process seals with can be removed.
    ///
    /// # Errors
    /// As [`rotate`]; [`RotateError::NotEverywhere`]; [`Error::Unfit`] when a key differs from the one that sealed the
    /// values.
    pub async fn run(
        self,
        url: &SecretString,
        keyring: &Keyring,
        tables: &[SealedTable],
    ) -> Result<(), RotateError> {
        let pool = Pool::new(url, 1, "rotate-keys")?;
        let key = keyring.sealing_key();
        let others = replicas::sealing_otherwise(&mut *pool.get().await?, key).await?;
        let lacking: Vec<&Alive> = others.iter().filter(|it| it.key_ids.iter().all(|id| id != key)).collect();
        if !lacking.is_empty() {
            return Err(RotateError::NotEverywhere { key: key.to_owned(), replicas: shown(lacking) });
        }
        match keys::check(&mut *pool.get().await?, keyring).await {
            // `rotate` reports each value that is sealed with a missing key.
            Ok(()) | Err(Error::Unfit(Unfit::KeysMissing(_))) => {}
            Err(error) => return Err(error.into()),
        }
        let resealed = rotate(&pool, keyring, tables).await?;
        keys::delete_unused(&mut *pool.get().await?, keyring).await?;
        if !others.is_empty() {
            let replicas = shown(others.iter().collect());
            writeln!(
                io::stderr(),
                "these replicas still seal with another key: {replicas}; set {key:?} as their first key and run this again"
            )?;
        }
        Ok(writeln!(io::stdout(), "all rows under key {key:?}: {resealed} values sealed anew")?)
    }
}

/// Replicas with the ids of their keys.
fn shown(replicas: Vec<&Alive>) -> String {
    let shown: Vec<String> =
        replicas.into_iter().map(|it| format!("{} ({})", it.name, it.key_ids.join(", "))).collect();
    shown.join("; ")
}

async fn rotate_column(
    pool: &Pool,
    keyring: &Keyring,
    table: &SealedTable,
    column: &'static str,
    pass: &mut Pass,
) -> Result<(), Error> {
    let prefix = keyring.sealed_prefix();
    let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
    let name = table.table;
    let select = format!(
        "SELECT id, {column} AS value FROM {name} \
         WHERE id > $1 AND substring({column} FROM 1 FOR $2::int) <> $3 ORDER BY id LIMIT $4"
    );
    // Locked in the order of ids, so that two concurrent rotations cannot deadlock.
    let update = format!(
        "WITH fresh AS (SELECT * FROM unnest($1, $2, $3) AS u (id, old, new)), \
         held AS (SELECT t.id, f.new FROM {name} t JOIN fresh f ON f.id = t.id AND f.old = t.{column} \
             ORDER BY t.id FOR UPDATE OF t) \
         UPDATE {name} t SET {column} = held.new FROM held WHERE t.id = held.id"
    );
    let mut after = Uuid::nil();
    loop {
        let mut conn = pool.get().await?;
        let found: Vec<Sealed> = sql_query(&select)
            .bind::<SqlUuid, _>(after)
            .bind::<BigInt, _>(length)
            .bind::<Bytea, _>(&prefix)
            .bind::<BigInt, _>(i64::try_from(BATCH).unwrap_or(i64::MAX))
            .load(&mut *conn)
            .await?;
        drop(conn);
        let Some(last) = found.last() else { return Ok(()) };
        after = last.id;
        pass.found += found.len();
        let mut resealed = Vec::new();
        for Sealed { id, value } in found {
            match reseal(keyring, &table.place(column, id), &value) {
                Ok(new) => resealed.push(Resealed { id, old: value, new }),
                Err(error) => {
                    tracing::error!(table = name, column, row = %id, %error, "sealed value cannot be opened");
                    pass.unopened += 1;
                    pass.last_trouble = Some(error);
                }
            }
        }
        let updated = pool
            .transaction(async |conn| {
                let columns = Columns(&resealed);
                let statement = sql_query(&update)
                    .bind::<Array<SqlUuid>, _>(columns.array(|it| it.id))
                    .bind::<Array<Bytea>, _>(columns.array(|it| it.old.as_slice()))
                    .bind::<Array<Bytea>, _>(columns.array(|it| it.new.as_slice()));
                Ok::<usize, Error>(statement.execute(conn).await?)
            })
            .await?;
        pass.changed += updated;
        tracing::info!(
            table = name,
            column,
            values = updated,
            in_this_pass = pass.changed,
            "sealed with the first key"
        );
    }
}

fn reseal(keyring: &Keyring, place: &Place, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    keyring.seal(place, &keyring.open(place, sealed)?)
}
