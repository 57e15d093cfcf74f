//! Which orders a list is to hold, as conditions of its statement.

use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_query;
use diesel::sql_types::{Bool, Text, Timestamptz, Uuid as SqlUuid};
use time::OffsetDateTime;
use uuid::Uuid;

/// Which orders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only this form status.
    pub(crate) status: Option<String>,
    /// Only this seller's status.
    pub(crate) fulfillment_status: Option<String>,
    /// Only bought at or after this.
    pub(crate) from: Option<OffsetDateTime>,
    /// Only bought before this.
    pub(crate) to: Option<OffsetDateTime>,
    /// Only those with a line of the SKU this `tsquery` is made of ([`crate::domain::search::query_of_sku`]).
    pub(crate) sku: Option<String>,
    /// Only of this buyer, by login; capitals do not count.
    pub(crate) buyer: Option<String>,
    /// Only those found by this `tsquery` ([`crate::domain::search::query`]).
    pub(crate) search: Option<String>,
    /// Only those whose stock flag stands so.
    pub(crate) stock_updated: Option<bool>,
    /// Only those before this one in the list.
    pub(crate) after: Option<(OffsetDateTime, Uuid)>,
}

/// A value of a statement.
pub(super) enum Bind<'a> {
    Text(&'a str),
    Moment(OffsetDateTime),
    Id(Uuid),
    Flag(bool),
}

/// Conditions of a statement, and their values. Only what was asked for stands in it: a condition that is switched off by
/// a NULL keeps its index from being used.
#[derive(Default)]
pub(super) struct Conditions<'a> {
    sql: String,
    values: Vec<Bind<'a>>,
}

impl<'a> Conditions<'a> {
    /// Adds a value and returns its place.
    pub(super) fn value(&mut self, value: Bind<'a>) -> usize {
        self.values.push(value);
        self.values.len()
    }

    /// What follows the first condition.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Adds a condition; `?` in it stands for the value.
    fn and(&mut self, condition: &str, value: Option<Bind<'a>>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.sql += " AND ";
            self.sql += &condition.replace('?', &format!("${place}"));
        }
    }

    /// The statement with the values in their places.
    pub(super) fn bind(self, statement: String) -> BoxedSqlQuery<'a, Pg, SqlQuery> {
        self.values.into_iter().fold(sql_query(statement).into_boxed(), |query, value| match value {
            Bind::Text(text) => query.bind::<Text, _>(text),
            Bind::Moment(moment) => query.bind::<Timestamptz, _>(moment),
            Bind::Id(id) => query.bind::<SqlUuid, _>(id),
            Bind::Flag(flag) => query.bind::<Bool, _>(flag),
        })
    }
}

impl Filter {
    /// The conditions of one account's part.
    pub(super) fn conditions(&self) -> Conditions<'_> {
        let mut conditions = Conditions::default();
        conditions.and("status = ?", self.status.as_deref().map(Bind::Text));
        conditions.and("fulfillment_status = ?", self.fulfillment_status.as_deref().map(Bind::Text));
        conditions.and("order_date >= ?", self.from.map(Bind::Moment));
        conditions.and("order_date < ?", self.to.map(Bind::Moment));
        conditions.and("search @@ ?::tsquery", self.sku.as_deref().map(Bind::Text));
        conditions.and("lower(buyer_login) = lower(?)", self.buyer.as_deref().map(Bind::Text));
        conditions.and("search @@ ?::tsquery", self.search.as_deref().map(Bind::Text));
        conditions.and("is_stock_updated = ?", self.stock_updated.map(Bind::Flag));
        if let Some((date, id)) = self.after {
            let date = conditions.value(Bind::Moment(date));
            conditions.and(&format!("(order_date, id) < (${date}, ?)"), Some(Bind::Id(id)));
        }
        conditions
    }
}
