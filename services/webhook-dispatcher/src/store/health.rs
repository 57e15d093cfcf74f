//! How endpoints are doing, as it stands in their subscriptions' rows.

use diesel::sql_types::{Array, BigInt, Bool, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::health::{Circuit, Health};

/// A subscription and how its endpoint is doing; the row is locked.
#[derive(Debug, QueryableByName)]
pub(crate) struct Watched {
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
    #[diesel(sql_type = Text)]
    circuit_state: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    circuit_until: Option<OffsetDateTime>,
    #[diesel(sql_type = Int4)]
    circuit_openings: i32,
    #[diesel(sql_type = Int4)]
    consecutive_failures: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_success_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    first_failure_at: Option<OffsetDateTime>,
}

const COLUMNS: &str = "id, is_active, updated_at, circuit_state, circuit_until, circuit_openings, \
                       consecutive_failures, last_success_at, first_failure_at";

impl Watched {
    /// How its endpoint is doing.
    pub(crate) fn health(&self) -> Result<Health, pg::Error> {
        let until = || self.circuit_until.ok_or_else(|| self.corrupt("circuit_until"));
        let circuit = match self.circuit_state.as_str() {
            "closed" => Circuit::Closed,
            "open" => Circuit::Open(until()?),
            "half_open" => Circuit::HalfOpen(until()?),
            _unknown => return Err(self.corrupt("circuit_state")),
        };
        Ok(Health {
            circuit,
            openings: self.circuit_openings,
            consecutive_failures: self.consecutive_failures,
            last_success_at: self.last_success_at,
            first_failure_at: self.first_failure_at,
        })
    }

    fn corrupt(&self, column: &'static str) -> pg::Error {
        pg::Error::corrupt("webhook_subscriptions", self.id, column)
    }
}

/// These subscriptions as they stand, not locked.
pub(crate) async fn peek(conn: &mut pg::Connection, ids: &[Uuid]) -> Result<Vec<Watched>, pg::Error> {
    let statement = sql_query(format!("SELECT {COLUMNS} FROM webhook_subscriptions WHERE id = ANY($1)"))
        .bind::<Array<SqlUuid>, _>(ids);
    Ok(pg::prepared(statement).load(conn).await?)
}

/// The same, locked, in the order of their ids everywhere.
pub(crate) async fn lock(conn: &mut pg::Connection, ids: &[Uuid]) -> Result<Vec<Watched>, pg::Error> {
    let statement = sql_query(format!(
        "SELECT {COLUMNS} FROM webhook_subscriptions WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"
    ))
    .bind::<Array<SqlUuid>, _>(ids);
    Ok(statement.load(conn).await?)
}

/// A subscription that was disabled.
#[derive(Debug, QueryableByName)]
pub(crate) struct Disabled {
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) owner: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) name: Option<String>,
    #[diesel(sql_type = Text)]
    pub(crate) origin: String,
    /// How often it has been.
    #[diesel(sql_type = BigInt)]
    pub(crate) number: i64,
}

/// Writes how an endpoint is doing.
pub(crate) async fn write(conn: &mut pg::Connection, id: Uuid, health: &Health) -> Result<(), pg::Error> {
    let (state, until) = match health.circuit {
        Circuit::Closed => ("closed", None),
        Circuit::Open(until) => ("open", Some(until)),
        Circuit::HalfOpen(until) => ("half_open", Some(until)),
    };
    sql_query(
        "UPDATE webhook_subscriptions SET circuit_state = $2, circuit_until = $3, circuit_openings = $4, \
             consecutive_failures = $5, last_success_at = $6, first_failure_at = $7 WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(state)
    .bind::<Nullable<Timestamptz>, _>(until)
    .bind::<Int4, _>(health.openings)
    .bind::<Int4, _>(health.consecutive_failures)
    .bind::<Nullable<Timestamptz>, _>(health.last_success_at)
    .bind::<Nullable<Timestamptz>, _>(health.first_failure_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Sees to it that a locked subscription is sent nothing any more.
pub(crate) async fn disable(
    conn: &mut pg::Connection,
    id: Uuid,
    reason: &str,
    now: OffsetDateTime,
) -> Result<Disabled, pg::Error> {
    let statement = sql_query(
        "UPDATE webhook_subscriptions SET is_active = false, disabled_reason = $2, disabled_at = $3, updated_at = $3, \
             times_disabled = times_disabled + 1 WHERE id = $1 RETURNING owner, name, origin, times_disabled AS number",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(reason)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}
