//! Reading everything, a page at a time, as it stood at one moment.

use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use time::OffsetDateTime;
use uuid::Uuid;

use super::quarantine;
use crate::domain::archive::QuarantinedLine;

/// Orders read at once: what an export holds in memory is this, however many there are.
const PAGE: i64 = 100;

/// An account.
#[derive(Debug, QueryableByName)]
pub(crate) struct Account {
    /// Our id of it.
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    /// Its user.
    #[diesel(sql_type = Text)]
    pub(crate) user_id: String,
    /// How the user calls it.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) account_name: Option<String>,
    /// Allegro's id of the seller.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_seller_id: String,
    /// The seller's login.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_login: String,
    /// When it was connected first.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) connected_at: OffsetDateTime,
    /// False once its user has removed it.
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
}

/// An order with everything known of it.
#[derive(Debug, QueryableByName)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
pub(crate) struct Row {
    /// Our id of it.
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: Uuid,
    /// Allegro's id.
    #[diesel(sql_type = Text)]
    pub(crate) allegro_order_id: String,
    /// When it was bought.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) order_date: OffsetDateTime,
    /// The current content's number.
    #[diesel(sql_type = BigInt)]
    pub(crate) version: i64,
    /// When the request that brought the current content was started.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) asked_at: OffsetDateTime,
    /// How the current content came.
    #[diesel(sql_type = Text)]
    pub(crate) source: String,
    /// Some content said less than the one before.
    #[diesel(sql_type = Bool)]
    pub(crate) lost_data: bool,
    /// `order.ready` was told.
    #[diesel(sql_type = Bool)]
    pub(crate) ready_announced: bool,
    /// `order.cancelled` was told.
    #[diesel(sql_type = Bool)]
    pub(crate) cancel_announced: bool,
    /// Merged or vanished.
    #[diesel(sql_type = Bool)]
    pub(crate) is_deleted: bool,
    /// Into which order.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) merged_into: Option<String>,
    /// Its pieces have left the stock.
    #[diesel(sql_type = Bool)]
    pub(crate) is_stock_updated: bool,
    /// Since when.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) stock_updated_at: Option<OffsetDateTime>,
    /// An invoice was made.
    #[diesel(sql_type = Bool)]
    pub(crate) has_invoice_created: bool,
    /// Which.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) invoice_id: Option<String>,
    /// When it was first stored.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) created_at: OffsetDateTime,
    /// When it last changed.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) updated_at: OffsetDateTime,
    /// The current content's hash, in hex.
    #[diesel(sql_type = Text)]
    pub(crate) content_hash: String,
    /// The current content.
    #[diesel(sql_type = Text)]
    pub(crate) order_data: String,
    /// The contents before, as JSON; an empty list where they were not asked for.
    #[diesel(sql_type = Text)]
    pub(crate) versions: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    orders: i64,
}

/// Which orders.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Only of this user.
    pub(crate) user_id: Option<String>,
    /// Only of this account.
    pub(crate) token_id: Option<Uuid>,
    /// Only bought at or after this.
    pub(crate) from: Option<OffsetDateTime>,
    /// Only bought before this.
    pub(crate) to: Option<OffsetDateTime>,
    /// With the contents before.
    pub(crate) with_versions: bool,
}

/// Everything as it stood when the first statement ran.
///
/// A snapshot (REPEATABLE READ) and not page after page of what is there by then: pages walk by date of purchase, which
/// moves when orders are merged, so that without it an order could be passed over; and order, versions and flags of a
/// backup must be of one moment. Its price is that VACUUM keeps what it sees: whoever reads slowly is cut off by
/// `idle_in_transaction_session_timeout` (a minute between two pages).
#[derive(Debug)]
pub(crate) struct Snapshot {
    transaction: pg::Transaction,
    scope: Scope,
}

impl Snapshot {
    /// Begins.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn begin(pool: &pg::Pool, scope: Scope) -> Result<Self, pg::Error> {
        let mut transaction = pool.begin().await?;
        sql_query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await?;
        Ok(Self { transaction, scope })
    }

    /// The accounts, in the order of their ids.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn accounts(&mut self) -> Result<Vec<Account>, pg::Error> {
        let found = sql_query(
            "SELECT id, user_id, account_name, allegro_seller_id, allegro_login, connected_at, is_active \
             FROM user_tokens WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR id = $2) ORDER BY id",
        )
        .bind::<Nullable<Text>, _>(&self.scope.user_id)
        .bind::<Nullable<SqlUuid>, _>(self.scope.token_id);
        Ok(found.load(&mut *self.transaction).await?)
    }

    /// How many orders these accounts have.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn count(&mut self, account: Uuid) -> Result<i64, pg::Error> {
        let found = sql_query(
            "SELECT count(*) AS orders FROM orders WHERE token_id = $1 \
             AND order_date >= coalesce($2, '-infinity') AND order_date < coalesce($3, 'infinity')",
        )
        .bind::<SqlUuid, _>(account)
        .bind::<Nullable<Timestamptz>, _>(self.scope.from)
        .bind::<Nullable<Timestamptz>, _>(self.scope.to);
        let counted: Counted = found.get_result(&mut *self.transaction).await?;
        Ok(counted.orders)
    }

    /// The quarantined orders of an account after the one of this number, in the order of their numbers: none at the end.
    ///
    /// # Errors
    /// The database's, and [`pg::Error::Corrupt`] for a document that is not text.
    pub(crate) async fn quarantined(
        &mut self,
        account: Uuid,
        after: i64,
    ) -> Result<Vec<(i64, QuarantinedLine)>, pg::Error> {
        quarantine::exported(&mut self.transaction, account.into(), after, PAGE).await
    }

    /// The orders of an account after this one, the oldest first: none at the end.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn page(
        &mut self,
        account: Uuid,
        after: Option<(OffsetDateTime, Uuid)>,
    ) -> Result<Vec<Row>, pg::Error> {
        let versions = if self.scope.with_versions {
            // Not json_agg, which breaks lines.
            "(SELECT '[' || coalesce(string_agg(json_build_object('version', v.version, 'revision', v.revision, \
                 'seen_at', to_char(v.seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
                 'source', v.source, 'content_hash', encode(v.content_hash, 'hex'), 'order_data', v.order_data)::text, \
                 ',' ORDER BY v.seq), '') || ']' FROM order_versions v WHERE v.order_id = o.id)"
        } else {
            "'[]'"
        };
        let (after_date, after_id) = after.unzip();
        // An open end is an end too: the index is walked between the two.
        let found = sql_query(format!(
            "SELECT id, allegro_order_id, order_date, version, asked_at, source, lost_data, ready_announced, \
                 cancel_announced, is_deleted, merged_into, is_stock_updated, stock_updated_at, has_invoice_created, \
                 invoice_id, created_at, updated_at, encode(content_hash, 'hex') AS content_hash, \
                 order_data::text AS order_data, {versions} AS versions \
             FROM orders o WHERE token_id = $1 AND order_date < coalesce($2, 'infinity') \
                 AND (order_date, id) > (coalesce($3, $5, '-infinity'), coalesce($4, '{nil}')) \
                 AND order_date >= coalesce($5, '-infinity') \
             ORDER BY order_date, id LIMIT {PAGE}",
            nil = Uuid::nil(),
        ))
        .bind::<SqlUuid, _>(account)
        .bind::<Nullable<Timestamptz>, _>(self.scope.to)
        .bind::<Nullable<Timestamptz>, _>(after_date)
        .bind::<Nullable<SqlUuid>, _>(after_id)
        .bind::<Nullable<Timestamptz>, _>(self.scope.from);
        Ok(found.load(&mut *self.transaction).await?)
    }
}
