//! The running processes of a service, each with the ids of its encryption keys.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{IdSource, UuidV7Source};
use uuid::Uuid;

use crate::sealed::Keyring;
use crate::tables::replicas;
use crate::{Connection, Error};

/// This process.
#[derive(Debug)]
pub(crate) struct Replica {
    id: Uuid,
    name: String,
}

/// Another running process.
#[derive(Debug, QueryableByName)]
#[diesel(table_name = replicas, check_for_backend(Pg))]
pub(crate) struct Alive {
    /// Host and process id.
    pub(crate) name: String,
    /// The ids of its keys; the first key seals.
    pub(crate) key_ids: Vec<String>,
}

impl Default for Replica {
    fn default() -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let name = format!("{}/{}", host.as_deref().unwrap_or("localhost"), std::process::id());
        Self { id: UuidV7Source.next_id(), name }
    }
}

impl Replica {
    /// Renews this process's row with the ids of its keys. Deletes rows that were not renewed for a minute.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn announce(&self, conn: &mut Connection, keyring: &Keyring) -> Result<(), Error> {
        sql_query(
            "WITH silent AS ( \
                 DELETE FROM replicas WHERE id IN ( \
                     SELECT id FROM replicas WHERE seen_at < now() - interval '60 seconds' AND id <> $1 \
                     FOR UPDATE SKIP LOCKED)) \
             INSERT INTO replicas (id, name, key_ids, seen_at) VALUES ($1, $2, $3, now()) \
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .bind::<SqlUuid, _>(self.id)
        .bind::<Text, _>(&self.name)
        .bind::<Array<Text>, _>(keyring.key_ids())
        .execute(conn)
        .await?;
        Ok(())
    }

    /// Deletes the row of this process.
    ///
    /// # Errors
    /// The database's error.
    pub(crate) async fn leave(&self, conn: &mut Connection) -> Result<(), Error> {
        diesel::delete(replicas::table.find(self.id)).execute(conn).await?;
        Ok(())
    }
}

/// The running processes that seal with a key other than `key_id`.
///
/// # Errors
/// The database's error.
pub(crate) async fn sealing_otherwise(conn: &mut Connection, key_id: &str) -> Result<Vec<Alive>, Error> {
    let alive = sql_query(
        "SELECT name, key_ids FROM replicas \
         WHERE seen_at >= now() - interval '60 seconds' AND key_ids[1] <> $1 ORDER BY name",
    );
    Ok(alive.bind::<Text, _>(key_id).load(conn).await?)
}
