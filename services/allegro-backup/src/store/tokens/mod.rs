//! `user_tokens`: connected accounts and their sealed tokens.

mod connect;
mod forgotten;
mod lease;
mod paused;

use diesel::sql_types::{BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::TokenId;
use pg::SealedTable;
use pg::sealed::{Keyring, Place, SealError};
use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub(crate) use self::connect::{
    Identity, connect, deactivate, hold, need_reauthorization, rename, set_login,
};
pub(crate) use self::forgotten::{Forgotten, count_by_state, forgotten};
pub(crate) use self::lease::{
    Attempt, expiring, give_lease_back, interrupted, leave_unanswered, store_refreshed, take_lease,
};
pub(crate) use self::paused::{remember_paused, take_paused};

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

/// Both tokens of a pair, sealed for a row.
fn seal(keyring: &Keyring, row: Uuid, pair: &Pair) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let access = keyring.seal(&access_place(row), pair.access.expose_secret().as_bytes())?;
    let refresh = keyring.seal(&refresh_place(row), pair.refresh.expose_secret().as_bytes())?;
    Ok((access, refresh))
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
    let found = sql_query(format!("SELECT {ACCOUNT} FROM user_tokens WHERE id = $1 FOR NO KEY UPDATE"))
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
