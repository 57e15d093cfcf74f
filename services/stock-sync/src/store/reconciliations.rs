//! `reconciliations` and `discrepancies`.

use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// How a run ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) checked: i64,
    /// Orders that differ.
    pub(crate) differing: i64,
    pub(crate) auto_fixed: i64,
    pub(crate) is_held: bool,
}

/// Something a run found.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) token_id: Option<Uuid>,
    pub(crate) user_id: Option<String>,
    pub(crate) order_id: Option<String>,
    pub(crate) place: Option<(String, String)>,
    pub(crate) local: Value,
    pub(crate) remote: Value,
}

/// A finding as it stands in the table.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Discrepancy {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) token_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) order_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) sku: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) warehouse: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub(crate) local: Value,
    #[diesel(sql_type = Jsonb)]
    pub(crate) remote: Value,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) first_seen: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) fixed_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) how: Option<String>,
}

/// A run, as people see it.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct RunRow {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) token_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    pub(crate) fix: bool,
    #[diesel(sql_type = BigInt)]
    pub(crate) total_checked: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) differing: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) auto_fixed: i64,
    #[diesel(sql_type = Bool)]
    pub(crate) is_held: bool,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) started_at: OffsetDateTime,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) finished_at: Option<OffsetDateTime>,
}

/// Runs, newest first.
pub(crate) async fn runs(
    conn: &mut pg::Connection,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<RunRow>, pg::Error> {
    let (time, id) = after.unzip();
    let found = sql_query(
        "SELECT * FROM reconciliations WHERE $1 IS NULL OR (started_at, id) < ($1, $2) \
         ORDER BY started_at DESC, id DESC LIMIT $3",
    )
    .bind::<Nullable<Timestamptz>, _>(time)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Which findings: a user's, or everybody's; of one kind, or of any; put right, or not.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) user_id: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) is_fixed: bool,
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

/// Findings, first seen last.
pub(crate) async fn found(
    conn: &mut pg::Connection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Discrepancy>, pg::Error> {
    let (time, id) = filter.after.unzip();
    let found = sql_query(
        "SELECT * FROM discrepancies WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR kind = $2) \
             AND (fixed_at IS NOT NULL) = $3 AND ($4 IS NULL OR (first_seen, id) < ($4, $5)) \
         ORDER BY first_seen DESC, id DESC LIMIT $6",
    )
    .bind::<Nullable<Text>, _>(&filter.user_id)
    .bind::<Nullable<Text>, _>(filter.kind)
    .bind::<Bool, _>(filter.is_fixed)
    .bind::<Nullable<Timestamptz>, _>(time)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Notes that a run begins.
pub(crate) async fn begin(
    conn: &mut pg::Connection,
    id: Uuid,
    token_id: Option<Uuid>,
    fix: bool,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "INSERT INTO reconciliations (id, token_id, fix, started_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Nullable<SqlUuid>, _>(token_id)
    .bind::<Bool, _>(fix)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes how a run ended.
pub(crate) async fn end(
    conn: &mut pg::Connection,
    id: Uuid,
    totals: Totals,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE reconciliations SET total_checked = $2, differing = $3, auto_fixed = $4, is_held = $5, finished_at = $6 \
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<BigInt, _>(totals.checked)
    .bind::<BigInt, _>(totals.differing)
    .bind::<BigInt, _>(totals.auto_fixed)
    .bind::<Bool, _>(totals.is_held)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Noted {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    is_new: bool,
}

/// Notes what a run found: new, or seen again. Returns the places in `findings` of those nobody had seen.
pub(crate) async fn note(
    conn: &mut pg::Connection,
    run: Uuid,
    findings: &[(Uuid, Finding)],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, pg::Error> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let place = |it: &Finding| it.place.clone().unzip();
    let noted: Vec<Noted> = sql_query(
        "INSERT INTO discrepancies AS d (id, kind, token_id, user_id, order_id, sku, warehouse, local, remote, \
             first_seen, last_seen, reconciliation_id) \
         SELECT u.*, $10, $10, $11 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS u ORDER BY 2, 3, 5, 6, 7 \
         ON CONFLICT (kind, token_id, order_id, sku, warehouse) WHERE fixed_at IS NULL DO UPDATE SET \
             local = excluded.local, remote = excluded.remote, last_seen = excluded.last_seen, \
             reconciliation_id = excluded.reconciliation_id \
         RETURNING id, first_seen = last_seen AS is_new",
    )
    .bind::<Array<SqlUuid>, _>(findings.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(findings.iter().map(|(_, it)| it.kind).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(findings.iter().map(|(_, it)| it.token_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(findings.iter().map(|(_, it)| it.user_id.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(findings.iter().map(|(_, it)| it.order_id.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(findings.iter().map(|(_, it)| place(it).0).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(findings.iter().map(|(_, it)| place(it).1).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(findings.iter().map(|(_, it)| it.local.clone()).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(findings.iter().map(|(_, it)| it.remote.clone()).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(now)
    .bind::<SqlUuid, _>(run)
    .load(conn)
    .await?;
    Ok(noted.into_iter().filter(|it| it.is_new).map(|it| it.id).collect())
}

/// What a run found, in steps, after the one with this id.
pub(crate) async fn of_run(
    conn: &mut pg::Connection,
    run: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Discrepancy>, pg::Error> {
    let found = sql_query(
        "SELECT * FROM discrepancies WHERE reconciliation_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind::<SqlUuid, _>(run)
    .bind::<SqlUuid, _>(after)
    .bind::<BigInt, _>(limit);
    Ok(found.load(conn).await?)
}

/// Notes that a finding was put right.
pub(crate) async fn fixed(conn: &mut pg::Connection, id: Uuid, now: OffsetDateTime) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE discrepancies SET fixed_at = $2, how = 'auto_fixed' WHERE id = $1 AND fixed_at IS NULL",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// What an older run found of this account (or of the ledger, for none) and this complete run did not is gone.
pub(crate) async fn gone(
    conn: &mut pg::Connection,
    token_id: Option<Uuid>,
    run: Uuid,
    started_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE discrepancies SET fixed_at = $4, how = 'gone' \
         WHERE fixed_at IS NULL AND token_id IS NOT DISTINCT FROM $1 AND reconciliation_id <> $2 AND last_seen < $3",
    )
    .bind::<Nullable<SqlUuid>, _>(token_id)
    .bind::<SqlUuid, _>(run)
    .bind::<Timestamptz, _>(started_at)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many differences of orders were found by two runs at least, and are not put right.
pub(crate) async fn lasting(conn: &mut pg::Connection) -> Result<i64, pg::Error> {
    let counted = sql_query(
        "SELECT 'lasting' AS name, count(*) FROM discrepancies \
         WHERE fixed_at IS NULL AND kind <> 'ledger_mismatch' AND last_seen > first_seen",
    );
    let counted: super::statistics::Group = counted.get_result(conn).await?;
    Ok(counted.count)
}

/// What nobody has put right, by kind.
pub(crate) async fn open(conn: &mut pg::Connection) -> Result<Vec<super::statistics::Group>, pg::Error> {
    let counted = sql_query(
        "SELECT kinds.name, count(d.id) FROM unnest(ARRAY['not_taken', 'not_returned', 'remote_missing', \
             'remote_only', 'quantity_mismatch', 'ledger_mismatch']) AS kinds (name) \
         LEFT JOIN discrepancies AS d ON d.kind = kinds.name AND d.fixed_at IS NULL GROUP BY kinds.name",
    );
    Ok(counted.load(conn).await?)
}
