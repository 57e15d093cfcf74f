//! The outbox: events, inserted in the transaction of the change.

use diesel::sql_query;
use diesel::sql_types::{Array, Bytea, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::events::Envelope;
use pg::Columns;

use crate::trace;

/// Inserts events in the caller's transaction, in one statement, and wakes the relay on commit. An event without a
/// trace gets the caller's.
///
/// The caller must hold the locks of all entities of the events, so that `sequence` grows in commit order.
///
/// # Errors
/// The database's error. The transaction is then lost as a whole.
pub async fn push(conn: &mut pg::Connection, events: &[Envelope]) -> Result<(), pg::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let (mut bodies, mut headers) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    for event in trace::of_the_caller(events).iter() {
        bodies.push(serde_json::to_vec(event).map_err(pg::Error::unwritable)?);
        headers.push(trace::headers(event));
    }
    let columns = Columns(events);
    let push = sql_query(
        "WITH pushed AS ( \
             INSERT INTO outbox (id, type, subject, partition_key, body, headers) \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6)) \
         SELECT pg_notify('outbox_' || current_schema(), '')",
    )
    .bind::<Array<SqlUuid>, _>(columns.array(|event| event.id.as_uuid()))
    .bind::<Array<Text>, _>(columns.array(|event| event.kind.as_str()))
    .bind::<Array<Text>, _>(columns.array(|event| event.subject.as_str()))
    .bind::<Array<Text>, _>(columns.array(|event| event.partitionkey.as_str()))
    .bind::<Array<Bytea>, _>(bodies)
    .bind::<Array<Jsonb>, _>(headers);
    pg::prepared(push).execute(conn).await?;
    failpoint::hit("outbox.after_push");
    Ok(())
}
