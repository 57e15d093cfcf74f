//! How endpoints are doing: columns of `webhook_subscriptions`, whose row lock serialises the outcomes of an endpoint.

use diesel::pg::Pg;
use diesel::prelude::{AsChangeset, ExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::schema::webhook_subscriptions;
use crate::domain::health::{Circuit, CircuitState, Health};

/// Columns of a subscription that say how its endpoint is doing.
#[derive(Debug, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(Pg), treat_none_as_null = true)]
pub(super) struct HealthRow {
    circuit_state: String,
    circuit_until: Option<OffsetDateTime>,
    circuit_openings: i32,
    consecutive_failures: i32,
    last_success_at: Option<OffsetDateTime>,
    first_failure_at: Option<OffsetDateTime>,
}

impl HealthRow {
    /// Parses the columns of this subscription.
    pub(super) fn read(&self, subscription: Uuid) -> Result<Health, pg::Error> {
        let corrupt = |column| pg::Error::corrupt("webhook_subscriptions", subscription, column);
        let until = || self.circuit_until.ok_or_else(|| corrupt("circuit_until"));
        let state = CircuitState::parse(&self.circuit_state).ok_or_else(|| corrupt("circuit_state"))?;
        let circuit = match state {
            CircuitState::Closed => Circuit::Closed,
            CircuitState::Open => Circuit::Open(until()?),
            CircuitState::HalfOpen => Circuit::HalfOpen(until()?),
        };
        Ok(Health {
            circuit,
            openings: self.circuit_openings,
            consecutive_failures: self.consecutive_failures,
            last_success_at: self.last_success_at,
            first_failure_at: self.first_failure_at,
        })
    }
}

impl From<&Health> for HealthRow {
    fn from(health: &Health) -> Self {
        Self {
            circuit_state: health.circuit.state().as_str().to_owned(),
            circuit_until: health.circuit.until(),
            circuit_openings: health.openings,
            consecutive_failures: health.consecutive_failures,
            last_success_at: health.last_success_at,
            first_failure_at: health.first_failure_at,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(Pg))]
struct WatchedRow {
    id: Uuid,
    is_active: bool,
    updated_at: OffsetDateTime,
    #[diesel(embed)]
    health: HealthRow,
}

/// A subscription and how its endpoint is doing.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) id: Uuid,
    pub(crate) is_active: bool,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) health: Health,
}

impl TryFrom<WatchedRow> for Watched {
    type Error = pg::Error;

    fn try_from(row: WatchedRow) -> Result<Self, pg::Error> {
        let health = row.health.read(row.id)?;
        Ok(Self { id: row.id, is_active: row.is_active, updated_at: row.updated_at, health })
    }
}

/// Reads subscriptions without locking them.
pub(crate) async fn peek(conn: &mut pg::Connection, ids: &[Uuid]) -> Result<Vec<Watched>, pg::Error> {
    let rows: Vec<WatchedRow> = webhook_subscriptions::table
        .filter(webhook_subscriptions::id.eq_any(ids))
        .select(WatchedRow::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(Watched::try_from).collect()
}

/// Reads and locks subscriptions in the order of their ids, so that two transactions cannot wait for each other.
pub(crate) async fn lock(conn: &mut pg::Connection, ids: &[Uuid]) -> Result<Vec<Watched>, pg::Error> {
    let rows: Vec<WatchedRow> = webhook_subscriptions::table
        .filter(webhook_subscriptions::id.eq_any(ids))
        .order(webhook_subscriptions::id)
        .select(WatchedRow::as_select())
        .for_no_key_update()
        .load(conn)
        .await?;
    rows.into_iter().map(Watched::try_from).collect()
}

/// A subscription that was disabled.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = webhook_subscriptions, check_for_backend(Pg))]
pub(crate) struct Disabled {
    pub(crate) owner: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) origin: String,
    /// How often it was disabled, this time included.
    pub(crate) times_disabled: i64,
}

/// Updates how the endpoint of a locked subscription is doing.
pub(crate) async fn write(conn: &mut pg::Connection, id: Uuid, health: &Health) -> Result<(), pg::Error> {
    diesel::update(webhook_subscriptions::table.find(id)).set(HealthRow::from(health)).execute(conn).await?;
    Ok(())
}

/// Disables a locked subscription, so that nothing more is sent to it.
pub(crate) async fn disable(
    conn: &mut pg::Connection,
    id: Uuid,
    reason: &str,
    now: OffsetDateTime,
) -> Result<Disabled, pg::Error> {
    use webhook_subscriptions::{disabled_at, disabled_reason, is_active, times_disabled, updated_at};
    let disabled = diesel::update(webhook_subscriptions::table.find(id))
        .set((
            is_active.eq(false),
            disabled_reason.eq(reason),
            disabled_at.eq(now),
            updated_at.eq(now),
            times_disabled.eq(times_disabled + 1),
        ))
        .returning(Disabled::as_returning())
        .get_result(conn)
        .await?;
    Ok(disabled)
}
