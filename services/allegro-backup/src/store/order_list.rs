//! Reading orders back.

use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{Money, TokenId};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// An order in a list.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Listed {
    /// Our id.
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    token_id: Uuid,
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_order_id: String,
    /// The form's status.
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    /// The seller's status.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) fulfillment_status: Option<String>,
    /// Allegro's version mark.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) revision: Option<String>,
    /// Our version.
    #[diesel(sql_type = BigInt)]
    pub(crate) version: i64,
    /// When it was bought.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) order_date: OffsetDateTime,
    /// Allegro's `updatedAt`.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) allegro_updated_at: Option<OffsetDateTime>,
    /// The buyer's login.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) buyer_login: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    total_minor: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    total_currency: Option<String>,
    /// A content that said less replaced a fuller one.
    #[diesel(sql_type = Bool)]
    pub(crate) lost_data: bool,
    /// When we first stored it.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    /// When we last changed it.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
}

impl Listed {
    /// The account.
    pub(crate) fn token_id(&self) -> TokenId {
        self.token_id.into()
    }

    /// What is to be paid.
    pub(crate) fn total(&self) -> Option<Money> {
        Some(Money::from_minor(self.total_minor?, self.total_currency.as_deref()?.parse().ok()?))
    }
}

#[derive(QueryableByName)]
struct Data {
    #[diesel(sql_type = Jsonb)]
    order_data: Value,
}

/// Which orders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only this form status.
    pub(crate) status: Option<String>,
    /// Only this seller's status.
    pub(crate) fulfillment_status: Option<String>,
    /// Only those before this one in the list.
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

const LISTED: &str = "id, token_id, allegro_order_id, status, fulfillment_status, revision, version, order_date, \
    allegro_updated_at, buyer_login, total_minor, total_currency, lost_data, created_at, updated_at";

/// Orders of these accounts, newest first.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    token_ids: &[TokenId],
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Listed>, pg::Error> {
    let (after_date, after_id) = filter.after.unzip();
    let statement = format!(
        "SELECT {LISTED} FROM orders WHERE token_id = ANY($1) AND ($2 IS NULL OR status = $2) \
             AND ($3 IS NULL OR fulfillment_status = $3) \
             AND ($4 IS NULL OR (order_date, id) < ($4, $5)) \
         ORDER BY order_date DESC, id DESC LIMIT $6"
    );
    let rows = sql_query(statement)
        .bind::<Array<SqlUuid>, _>(token_ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .bind::<Nullable<Text>, _>(&filter.status)
        .bind::<Nullable<Text>, _>(&filter.fulfillment_status)
        .bind::<Nullable<Timestamptz>, _>(after_date)
        .bind::<Nullable<SqlUuid>, _>(after_id)
        .bind::<BigInt, _>(limit);
    Ok(rows.load(conn).await?)
}

/// One order with the whole answer of Allegro.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    token_ids: &[TokenId],
    allegro_order_id: &str,
) -> Result<Option<(Listed, Value)>, pg::Error> {
    let statement = format!(
        "SELECT {LISTED} FROM orders WHERE token_id = ANY($1) AND allegro_order_id = $2 ORDER BY updated_at DESC LIMIT 1"
    );
    let listed: Option<Listed> = sql_query(statement)
        .bind::<Array<SqlUuid>, _>(token_ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .bind::<Text, _>(allegro_order_id)
        .get_result(conn)
        .await
        .optional()?;
    let Some(listed) = listed else { return Ok(None) };
    let data: Data = sql_query("SELECT order_data FROM orders WHERE id = $1")
        .bind::<SqlUuid, _>(listed.id)
        .get_result(conn)
        .await?;
    Ok(Some((listed, data.order_data)))
}
