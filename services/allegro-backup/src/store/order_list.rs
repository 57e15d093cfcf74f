//! Reading orders back.

use std::fmt::Display;

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{Money, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use super::order_filter::Filter;
use super::order_filter::{Bind, Conditions};
use super::order_flags::Flags;
use crate::domain::order::Order;

/// An order as it stands.
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
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) status: Option<String>,
    /// The seller's status.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) fulfillment_status: Option<String>,
    /// Allegro's version mark.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) revision: Option<String>,
    /// Our version; none of a content that came too late.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) version: Option<i64>,
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
    /// Merged into another order, or vanished.
    #[diesel(sql_type = Bool)]
    pub(crate) is_deleted: bool,
    /// The order it was merged into.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) merged_into: Option<String>,
    /// What others have done about it.
    #[diesel(embed)]
    pub(crate) flags: Flags,
    /// When the current content was requested.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) asked_at: OffsetDateTime,
    /// When it first became ready for processing.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) ready_at: Option<OffsetDateTime>,
    /// Sent, picked up or partly sent since it last became ready.
    #[diesel(sql_type = Bool)]
    pub(crate) was_shipped: bool,
    /// When we first stored it.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    /// When we last changed it.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
    /// Allegro's answer.
    #[diesel(sql_type = Text)]
    pub(crate) order_data: String,
}

impl Listed {
    /// The account.
    pub(crate) fn token_id(&self) -> TokenId {
        self.token_id.into()
    }

    /// The order as another content had it; one that came too late has no version. What we know beside the content stays.
    pub(crate) fn with_content(self, content: Order, version: Option<i64>) -> Self {
        Self {
            version,
            status: content.status().map(str::to_owned),
            fulfillment_status: content.fulfillment_status().map(str::to_owned),
            order_date: content.bought_at.or(content.form.updated_at).unwrap_or(self.order_date),
            allegro_updated_at: content.form.updated_at,
            total_minor: content.form.total.map(Money::minor),
            total_currency: content.form.total.map(|total| total.currency().to_string()),
            revision: content.form.revision,
            buyer_login: content.form.buyer_login,
            order_data: content.raw,
            ..self
        }
    }

    /// What is to be paid.
    ///
    /// # Errors
    /// [`pg::Error::Corrupt`].
    pub(crate) fn total(&self) -> Result<Option<Money>, pg::Error> {
        stored_money(self.total_minor, self.total_currency.as_deref(), self.id)
    }
}

/// A sum of orders; none where Allegro named none. `id` says of which.
///
/// # Errors
/// [`pg::Error::Corrupt`].
pub(super) fn stored_money(
    minor: Option<i64>,
    currency: Option<&str>,
    id: impl Display,
) -> Result<Option<Money>, pg::Error> {
    let (Some(minor), Some(currency)) = (minor, currency) else { return Ok(None) };
    let currency = currency.parse().map_err(|_unknown| pg::Error::corrupt("orders", id, "total_currency"))?;
    Ok(Some(Money::from_minor(minor, currency)))
}

const LISTED: &str = "id, token_id, allegro_order_id, status, fulfillment_status, revision, version, order_date, \
    allegro_updated_at, buyer_login, total_minor, total_currency, lost_data, is_deleted, merged_into, \
    is_stock_updated, stock_updated_at, has_invoice_created, invoice_id, created_at, updated_at, asked_at, ready_at, \
    was_shipped";

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
    if token_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (statement, conditions) = statement(token_ids, filter, limit);
    Ok(conditions.bind(statement).load(conn).await?)
}

/// Each account is a part of its own with its own end, walked in the order of its index: over several at once Postgres
/// would have to sort all of them first.
fn statement<'a>(token_ids: &[TokenId], filter: &'a Filter, limit: i64) -> (String, Conditions<'a>) {
    let mut conditions = filter.conditions();
    let parts: Vec<String> = token_ids
        .iter()
        .map(|id| {
            let account = conditions.value(Bind::Id(id.as_uuid()));
            format!(
                "(SELECT {LISTED}, order_data FROM orders WHERE token_id = ${account}{} \
                     ORDER BY order_date DESC, id DESC LIMIT {limit})",
                conditions.sql()
            )
        })
        .collect();
    let statement = format!(
        "SELECT {LISTED}, order_data::text AS order_data FROM ({}) AS newest \
         ORDER BY order_date DESC, id DESC LIMIT {limit}",
        parts.join(" UNION ALL ")
    );
    (statement, conditions)
}

/// One order; where several of the accounts have it, the one that changed last.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    token_ids: &[TokenId],
    allegro_order_id: &str,
) -> Result<Option<Listed>, pg::Error> {
    let statement = format!(
        "SELECT {LISTED}, order_data::text AS order_data FROM orders \
         WHERE token_id = ANY($1) AND allegro_order_id = $2 ORDER BY updated_at DESC LIMIT 1"
    );
    let found = sql_query(statement)
        .bind::<Array<SqlUuid>, _>(token_ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .bind::<Text, _>(allegro_order_id);
    Ok(found.get_result(conn).await.optional()?)
}

#[cfg(test)]
#[path = "order_list_tests.rs"]
mod tests;
