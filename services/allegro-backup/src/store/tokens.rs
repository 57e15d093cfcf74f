//! `user_tokens`: connected accounts and their sealed tokens.

use diesel::sql_types::{BigInt, Bool, Bytea, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::SealedTable;
use pg::sealed::{Keyring, Place, SealError};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What is sealed here.
pub(super) const SEALED: SealedTable =
    SealedTable { table: "user_tokens", columns: &["access_token", "refresh_token"] };
/// Allegro's refresh tokens live three months.
const REFRESH_LIFE: Duration = Duration::days(90);

/// A connected account, without its secrets.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Account {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// The user who connected it.
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
    /// What was granted.
    #[diesel(sql_type = Text)]
    pub(crate) scopes: String,
    /// When the access token ends.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) expires_at: OffsetDateTime,
    /// When it was last refreshed.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(crate) last_refreshed_at: Option<OffsetDateTime>,
    /// False once its user has removed it.
    #[diesel(sql_type = Bool)]
    pub(crate) is_active: bool,
    /// True when only its owner can connect it again.
    #[diesel(sql_type = Bool)]
    pub(crate) needs_reauthorization: bool,
    /// Why.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) reauthorization_reason: Option<String>,
    /// Grows with each new pair.
    #[diesel(sql_type = BigInt)]
    pub(crate) generation: i64,
    /// When it was connected first.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) connected_at: OffsetDateTime,
    #[diesel(sql_type = Bytea)]
    access_token: Vec<u8>,
    #[diesel(sql_type = Bytea)]
    refresh_token: Vec<u8>,
    /// True while a worker refreshes it, by the database's clock: no worker's own clock matters.
    #[diesel(sql_type = Bool)]
    pub(crate) is_leased: bool,
}

/// What an [`Account`] is read from.
const ACCOUNT: &str = "*, coalesce(refresh_lease_until > now(), false) AS is_leased";

/// A fresh pair of tokens.
#[derive(Debug)]
pub(crate) struct Pair {
    /// For calls.
    pub(crate) access: SecretString,
    /// For the next pair.
    pub(crate) refresh: SecretString,
    /// When the access token ends.
    pub(crate) expires_at: OffsetDateTime,
    /// What was granted.
    pub(crate) scopes: String,
}

/// Whose account it is.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// The user who connects it.
    pub(crate) user_id: &'a str,
    /// How the user calls it.
    pub(crate) account_name: Option<&'a str>,
    /// Allegro's id of the seller.
    pub(crate) allegro_seller_id: &'a str,
    /// The seller's login.
    pub(crate) allegro_login: &'a str,
}

/// Why tokens could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenStoreError {
    /// The database.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// The keys.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<diesel::result::Error> for TokenStoreError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Account {
    /// Its id.
    pub(crate) fn id(&self) -> TokenId {
        self.id.into()
    }

    /// The access token.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn access_token(&self, keyring: &Keyring) -> Result<SecretString, SealError> {
        keyring.open_text(&access_place(self.id), &self.access_token)
    }

    /// The refresh token.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn refresh_token(&self, keyring: &Keyring) -> Result<SecretString, SealError> {
        keyring.open_text(&refresh_place(self.id), &self.refresh_token)
    }
}

fn access_place(row: Uuid) -> Place {
    SEALED.place("access_token", row)
}

fn refresh_place(row: Uuid) -> Place {
    SEALED.place("refresh_token", row)
}

/// One account.
///
/// # Errors
/// The database's.
pub(crate) async fn find(conn: &mut pg::Connection, id: TokenId) -> Result<Option<Account>, pg::Error> {
    let found = sql_query(format!("SELECT {ACCOUNT} FROM user_tokens WHERE id = $1"))
        .bind::<SqlUuid, _>(id.as_uuid());
    Ok(found.get_result(conn).await.optional()?)
}

/// One account, its row locked.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(conn: &mut pg::Connection, id: TokenId) -> Result<Option<Account>, pg::Error> {
    let found = sql_query(format!("SELECT {ACCOUNT} FROM user_tokens WHERE id = $1 FOR UPDATE"))
        .bind::<SqlUuid, _>(id.as_uuid());
    Ok(found.get_result(conn).await.optional()?)
}

/// The accounts of one user, or of everybody: oldest first, removed ones left out.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    user_id: Option<&str>,
) -> Result<Vec<Account>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens WHERE is_active AND ($1 IS NULL OR user_id = $1) ORDER BY id"
    ))
    .bind::<Nullable<Text>, _>(user_id);
    Ok(found.load(conn).await?)
}

#[derive(QueryableByName)]
struct AccountId {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// The ids of a user's accounts, removed ones too: their orders stay.
///
/// # Errors
/// The database's.
pub(crate) async fn ids_ever(conn: &mut pg::Connection, user_id: &str) -> Result<Vec<TokenId>, pg::Error> {
    let found = sql_query("SELECT id FROM user_tokens WHERE user_id = $1").bind::<Text, _>(user_id);
    let rows: Vec<AccountId> = found.load(conn).await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// Stores a fresh pair: for a new account, or for one of the user's that is connected again. The row stays locked.
///
/// # Errors
/// The database's (two who connect the same account at once: one is refused, and tries again), or the keys'.
pub(crate) async fn connect(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    fresh_id: TokenId,
    identity: &Identity<'_>,
    pair: &Pair,
    now: OffsetDateTime,
) -> Result<Account, TokenStoreError> {
    let existing: Option<Account> = sql_query(format!("SELECT {ACCOUNT} FROM user_tokens WHERE user_id = $1 AND allegro_seller_id = $2 AND is_active FOR UPDATE"))
    .bind::<Text, _>(identity.user_id)
    .bind::<Text, _>(identity.allegro_seller_id)
    .get_result(conn)
    .await
    .optional()?;
    let id = existing.as_ref().map_or(fresh_id.as_uuid(), |account| account.id);
    let access = keyring.seal(&access_place(id), pair.access.expose_secret().as_bytes())?;
    let refresh = keyring.seal(&refresh_place(id), pair.refresh.expose_secret().as_bytes())?;
    let statement = sql_query(
        format!("INSERT INTO user_tokens (id, user_id, account_name, allegro_seller_id, allegro_login, access_token, \
             refresh_token, scopes, expires_at, refresh_expires_at, connected_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (id) DO UPDATE SET account_name = coalesce(excluded.account_name, user_tokens.account_name), \
             allegro_login = excluded.allegro_login, access_token = excluded.access_token, \
             refresh_token = excluded.refresh_token, scopes = excluded.scopes, expires_at = excluded.expires_at, \
             refresh_expires_at = excluded.refresh_expires_at, needs_reauthorization = false, \
             reauthorization_reason = NULL, refresh_lease_until = NULL, \
             generation = user_tokens.generation + 1, updated_at = now() \
         RETURNING {ACCOUNT}"),
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(identity.user_id)
    .bind::<Nullable<Text>, _>(identity.account_name)
    .bind::<Text, _>(identity.allegro_seller_id)
    .bind::<Text, _>(identity.allegro_login)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Text, _>(&pair.scopes)
    .bind::<Timestamptz, _>(pair.expires_at)
    .bind::<Timestamptz, _>(now + REFRESH_LIFE)
    .bind::<Timestamptz, _>(now);
    Ok(statement.get_result(conn).await?)
}

/// Writes down that a refresh begins, before Allegro is called.
///
/// # Errors
/// The database's.
pub(crate) async fn take_lease(
    conn: &mut pg::Connection,
    id: TokenId,
    length: std::time::Duration,
) -> Result<(), pg::Error> {
    sql_query(
        "UPDATE user_tokens SET refresh_lease_until = now() + $2 * interval '1 second', updated_at = now() \
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Double, _>(length.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(())
}

/// Accounts whose refresh was begun and neither ended nor given back: its worker is dead.
///
/// # Errors
/// The database's.
pub(crate) async fn interrupted(conn: &mut pg::Connection) -> Result<Vec<Account>, pg::Error> {
    let found = sql_query(format!(
        "SELECT {ACCOUNT} FROM user_tokens \
         WHERE is_active AND NOT needs_reauthorization AND refresh_lease_until < now()"
    ));
    Ok(found.load(conn).await?)
}

/// An account nobody works for.
pub(crate) struct Forgotten {
    /// The account.
    pub(crate) token_id: TokenId,
    /// Its owner.
    pub(crate) user_id: String,
    /// Whether its list was ever read to its end.
    pub(crate) is_read: bool,
}

#[derive(QueryableByName)]
struct ForgottenRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    user_id: String,
    #[diesel(sql_type = Bool)]
    is_read: bool,
}

/// Accounts nobody works for: active, with tokens, and with neither a task that lives nor a schedule. What a person
/// called off stays so.
///
/// # Errors
/// The database's.
pub(crate) async fn forgotten(conn: &mut pg::Connection) -> Result<Vec<Forgotten>, pg::Error> {
    let found = sql_query(
        "SELECT t.id, t.user_id, c.last_complete_list_sync IS NOT NULL AS is_read FROM user_tokens t \
             LEFT JOIN sync_cursors c ON c.token_id = t.id \
         WHERE t.is_active AND NOT t.needs_reauthorization \
           AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.queue = 'sync_' || t.id) \
           AND NOT EXISTS (SELECT 1 FROM task_history h \
               WHERE h.queue = 'sync_' || t.id AND h.status IN ('queued', 'running', 'retrying')) \
           AND (SELECT h.status FROM task_history h WHERE h.queue = 'sync_' || t.id ORDER BY h.id DESC LIMIT 1) \
               IS DISTINCT FROM 'cancelled'",
    );
    let rows: Vec<ForgottenRow> = found.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|ForgottenRow { id, user_id, is_read }| Forgotten { token_id: id.into(), user_id, is_read })
        .collect())
}

/// Gives the lease back after a refresh that came to nothing.
///
/// # Errors
/// The database's.
pub(crate) async fn give_lease_back(
    conn: &mut pg::Connection,
    id: TokenId,
    generation: i64,
) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET refresh_lease_until = NULL WHERE id = $1 AND generation = $2")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<BigInt, _>(generation)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores the pair a refresh gave; false when another has stored one meanwhile.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn store_refreshed(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    (id, generation): (TokenId, i64),
    pair: &Pair,
    now: OffsetDateTime,
) -> Result<bool, TokenStoreError> {
    let row = id.as_uuid();
    let access = keyring.seal(&access_place(row), pair.access.expose_secret().as_bytes())?;
    let refresh = keyring.seal(&refresh_place(row), pair.refresh.expose_secret().as_bytes())?;
    let stored = sql_query(
        "UPDATE user_tokens SET access_token = $3, refresh_token = $4, expires_at = $5, refresh_expires_at = $6, \
             last_refreshed_at = $7, generation = generation + 1, refresh_lease_until = NULL, updated_at = now() \
         WHERE id = $1 AND generation = $2",
    )
    .bind::<SqlUuid, _>(row)
    .bind::<BigInt, _>(generation)
    .bind::<Bytea, _>(access)
    .bind::<Bytea, _>(refresh)
    .bind::<Timestamptz, _>(pair.expires_at)
    .bind::<Timestamptz, _>(now + REFRESH_LIFE)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(stored == 1)
}

/// Notes that only the owner can connect the account again; false when a new pair came meanwhile.
///
/// # Errors
/// The database's.
pub(crate) async fn need_reauthorization(
    conn: &mut pg::Connection,
    (id, generation): (TokenId, i64),
    reason: &str,
) -> Result<bool, pg::Error> {
    let noted = sql_query(
        "UPDATE user_tokens SET needs_reauthorization = true, reauthorization_reason = $3, \
             generation = generation + 1, refresh_lease_until = NULL, updated_at = now() \
         WHERE id = $1 AND generation = $2 AND NOT needs_reauthorization",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<BigInt, _>(generation)
    .bind::<Text, _>(reason)
    .execute(conn)
    .await?;
    Ok(noted == 1)
}

/// Removes an account: its tasks end at their next step, its orders stay.
///
/// # Errors
/// The database's.
pub(crate) async fn deactivate(conn: &mut pg::Connection, id: TokenId) -> Result<(), pg::Error> {
    sql_query("UPDATE user_tokens SET is_active = false, generation = generation + 1, updated_at = now() WHERE id = $1")
        .bind::<SqlUuid, _>(id.as_uuid())
        .execute(conn)
        .await?;
    Ok(())
}
