//! Canaries: a known text sealed with each encryption key. A process whose key does not open its canary has a wrong key.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Bytea, Text};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::sealed::{Keyring, Place};
use crate::tables::encryption_canary;
use crate::{Connection, Error, Unfit};

const PLACE: Place = Place { table: "encryption_canary", column: "sealed", row: Uuid::nil() };
const TEXT: &[u8] = b"canary";

#[derive(Queryable, Selectable)]
#[diesel(table_name = encryption_canary, check_for_backend(Pg))]
struct Canary {
    key_id: String,
    sealed: Vec<u8>,
    is_in_use: bool,
}

/// Opens the canary of every key, writes missing canaries, and flags the sealing key as in use.
///
/// # Errors
/// [`Unfit::WrongKeys`], [`Unfit::KeysMissing`], or the database's error.
pub(crate) async fn check(conn: &mut Connection, keyring: &Keyring) -> Result<(), Error> {
    let is_ours = |canary: &&Canary| keyring.key_ids().contains(&canary.key_id);
    let is_wrong = |canary: &&Canary| keyring.open(&PLACE, &canary.sealed).is_err();
    let ids = |found: Vec<&Canary>| found.into_iter().map(|canary| canary.key_id.clone()).collect::<Vec<_>>();
    let mut canaries = all(conn).await?;
    let unused = ids(canaries.iter().filter(is_ours).filter(is_wrong).filter(|it| !it.is_in_use).collect());
    if !unused.is_empty() {
        delete_abandoned(conn, &unused).await?;
        canaries = all(conn).await?;
    }
    let is_there = |id: &String| canaries.iter().any(|canary| canary.key_id == *id);
    let mut new: Vec<&String> = keyring.key_ids().iter().filter(|id| !is_there(id)).collect();
    if !new.is_empty() {
        new.sort_unstable();
        insert(conn, keyring, &new).await?;
        // Another process may have written one of the canaries first, with a different key of the same id.
        canaries = all(conn).await?;
    }
    let wrong: Vec<&Canary> = canaries.iter().filter(is_ours).filter(is_wrong).collect();
    if !wrong.is_empty() {
        return Err(Unfit::WrongKeys(ids(wrong)).into());
    }
    let missing: Vec<&Canary> = canaries.iter().filter(|it| it.is_in_use && !is_ours(it)).collect();
    if !missing.is_empty() {
        return Err(Unfit::KeysMissing(ids(missing)).into());
    }
    let sealing = keyring.sealing_key();
    if canaries.iter().any(|canary| canary.key_id == sealing && !canary.is_in_use) {
        let unused =
            encryption_canary::table.find(sealing).filter(diesel::dsl::not(encryption_canary::is_in_use));
        diesel::update(unused).set(encryption_canary::is_in_use.eq(true)).execute(conn).await?;
    }
    Ok(())
}

/// Deletes those canaries whose key was never in use and that no running process has, for example after a typing error.
///
/// # Errors
/// The database's error.
async fn delete_abandoned(conn: &mut Connection, ids: &[String]) -> Result<(), Error> {
    sql_query(
        "DELETE FROM encryption_canary c WHERE key_id = ANY($1) AND NOT is_in_use AND NOT EXISTS ( \
             SELECT FROM replicas WHERE seen_at >= now() - interval '60 seconds' AND c.key_id = ANY(key_ids))",
    )
    .bind::<Array<Text>, _>(ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the canaries of keys that no running process has. Marks keys as not in use that no running process seals with.
///
/// # Errors
/// The database's error.
pub(crate) async fn delete_unused(conn: &mut Connection, keyring: &Keyring) -> Result<(), Error> {
    sql_query(
        "WITH alive AS (SELECT key_ids FROM replicas WHERE seen_at >= now() - interval '60 seconds'), \
         gone AS ( \
             DELETE FROM encryption_canary WHERE key_id <> $1 \
                 AND key_id NOT IN (SELECT unnest(key_ids) FROM alive)) \
         UPDATE encryption_canary SET is_in_use = false WHERE is_in_use AND key_id <> $1 \
             AND key_id IN (SELECT unnest(key_ids) FROM alive) \
             AND key_id NOT IN (SELECT key_ids[1] FROM alive)",
    )
    .bind::<Text, _>(keyring.sealing_key())
    .execute(conn)
    .await?;
    Ok(())
}

async fn all(conn: &mut Connection) -> Result<Vec<Canary>, Error> {
    let found = encryption_canary::table.order(encryption_canary::key_id).select(Canary::as_select());
    Ok(found.load(conn).await?)
}

async fn insert(conn: &mut Connection, keyring: &Keyring, ids: &[&String]) -> Result<(), Error> {
    let sealed: Result<Vec<_>, _> = ids.iter().map(|id| keyring.seal_with(id, &PLACE, TEXT)).collect();
    sql_query(
        "INSERT INTO encryption_canary (key_id, sealed, is_in_use) SELECT u.key_id, u.sealed, false \
         FROM unnest($1, $2) AS u (key_id, sealed) ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(ids)
    .bind::<Array<Bytea>, _>(sealed.map_err(Error::unwritable)?)
    .execute(conn)
    .await?;
    Ok(())
}
