//! `authorizations`: device flows in progress.

mod polling;

use diesel::sql_types::{Bytea, Int4, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::{AuthorizationId, TaskId, TokenId};
use pg::SealedTable;
use pg::sealed::{Keyring, Place, SealError};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::polling::{Turn, complete, end, end_turn, expire, forgotten, keep_pair, take_turn};
use super::tokens::{Pair, TokenStoreError};

/// What is sealed here.
pub(super) const SEALED: SealedTable =
    SealedTable { table: "authorizations", columns: &["device_code", "access_token", "refresh_token"] };

/// A device flow.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Authorization {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// Who connects an account.
    #[diesel(sql_type = Text)]
    pub(crate) user_id: String,
    /// How they call it.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) account_name: Option<String>,
    #[diesel(sql_type = Bytea)]
    device_code: Vec<u8>,
    /// What a person types.
    #[diesel(sql_type = Text)]
    pub(crate) user_code: String,
    /// Where they type it.
    #[diesel(sql_type = Text)]
    pub(crate) verification_uri: String,
    /// The same with the code filled in.
    #[diesel(sql_type = Text)]
    pub(crate) verification_uri_complete: String,
    /// Seconds between two polls.
    #[diesel(sql_type = Int4)]
    pub(crate) poll_seconds: i32,
    /// When the code ends.
    #[diesel(sql_type = Timestamptz)]
    pub(crate) expires_at: OffsetDateTime,
    /// `pending`, `completed`, `denied`, `expired` or `failed`.
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    /// Why it did not come to an account.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error: Option<String>,
    #[diesel(sql_type = Nullable<Bytea>)]
    access_token: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    refresh_token: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    scopes: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    access_expires_at: Option<OffsetDateTime>,
    #[diesel(sql_type = SqlUuid)]
    task_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    token_id: Option<Uuid>,
}

impl Authorization {
    /// Its id.
    pub(crate) fn id(&self) -> AuthorizationId {
        self.id.into()
    }

    /// The task that polls.
    pub(crate) fn task_id(&self) -> TaskId {
        self.task_id.into()
    }

    /// The account that came of it.
    pub(crate) fn token_id(&self) -> Option<TokenId> {
        self.token_id.map(TokenId::from)
    }

    /// What we poll with.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn device_code(&self, keyring: &Keyring) -> Result<SecretString, SealError> {
        keyring.open_text(&place(self.id, "device_code"), &self.device_code)
    }

    /// The tokens a poll has brought, if one has.
    ///
    /// # Errors
    /// When they do not open.
    pub(crate) fn pair(&self, keyring: &Keyring) -> Result<Option<Pair>, SealError> {
        let (access, refresh, expires_at) =
            match (&self.access_token, &self.refresh_token, self.access_expires_at) {
                (Some(access), Some(refresh), Some(expires_at)) => (access, refresh, expires_at),
                (None, None, None) => return Ok(None),
                _incomplete => return Err(SealError::Damaged),
            };
        Ok(Some(Pair {
            access: keyring.open_text(&place(self.id, "access_token"), access)?,
            refresh: keyring.open_text(&place(self.id, "refresh_token"), refresh)?,
            expires_at,
            scopes: self.scopes.clone().unwrap_or_default(),
        }))
    }
}

/// A device flow that has just begun.
#[derive(Debug)]
pub(crate) struct NewAuthorization<'a> {
    /// Its id.
    pub(crate) id: AuthorizationId,
    /// Who connects an account.
    pub(crate) user_id: &'a str,
    /// How they call it.
    pub(crate) account_name: Option<&'a str>,
    /// What we poll with.
    pub(crate) device_code: &'a SecretString,
    /// What a person types.
    pub(crate) user_code: &'a str,
    /// Where they type it.
    pub(crate) verification_uri: &'a str,
    /// The same with the code filled in.
    pub(crate) verification_uri_complete: &'a str,
    /// Seconds between two polls.
    pub(crate) poll_seconds: i32,
    /// When the code ends.
    pub(crate) expires_at: OffsetDateTime,
    /// The task that polls.
    pub(crate) task_id: TaskId,
}

fn place(row: Uuid, column: &'static str) -> Place {
    SEALED.place(column, row)
}

fn hash(device_code: &str) -> Vec<u8> {
    Sha256::digest(device_code).to_vec()
}

/// Writes down a device flow.
///
/// # Errors
/// The database's or the keys'.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    keyring: &Keyring,
    new: &NewAuthorization<'_>,
    now: OffsetDateTime,
) -> Result<(), TokenStoreError> {
    let id = new.id.as_uuid();
    let sealed = keyring.seal(&place(id, "device_code"), new.device_code.expose_secret().as_bytes())?;
    sql_query(
        "INSERT INTO authorizations (id, user_id, account_name, device_code, device_code_hash, user_code, \
             verification_uri, verification_uri_complete, poll_seconds, expires_at, task_id, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(new.user_id)
    .bind::<Nullable<Text>, _>(new.account_name)
    .bind::<Bytea, _>(sealed)
    .bind::<Bytea, _>(hash(new.device_code.expose_secret()))
    .bind::<Text, _>(new.user_code)
    .bind::<Text, _>(new.verification_uri)
    .bind::<Text, _>(new.verification_uri_complete)
    .bind::<Int4, _>(new.poll_seconds)
    .bind::<Timestamptz, _>(new.expires_at)
    .bind::<SqlUuid, _>(new.task_id.as_uuid())
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// A device flow by its id.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    conn: &mut pg::Connection,
    id: AuthorizationId,
) -> Result<Option<Authorization>, pg::Error> {
    let found = sql_query("SELECT * FROM authorizations WHERE id = $1").bind::<SqlUuid, _>(id.as_uuid());
    Ok(found.get_result(conn).await.optional()?)
}

/// A device flow by its device code, of which only a hash can be looked for.
///
/// # Errors
/// The database's.
pub(crate) async fn find_by_device_code(
    conn: &mut pg::Connection,
    device_code: &str,
) -> Result<Option<Authorization>, pg::Error> {
    let found = sql_query("SELECT * FROM authorizations WHERE device_code_hash = $1")
        .bind::<Bytea, _>(hash(device_code));
    Ok(found.get_result(conn).await.optional()?)
}
