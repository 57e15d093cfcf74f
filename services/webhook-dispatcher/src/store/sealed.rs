//! The sealed columns of `webhook_credentials`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::SubscriptionId;
use pg::SealedTable;
use pg::sealed::{Keyring, SealError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::domain::signature::SigningKey;

const SECRET: &str = "secret";
const PREVIOUS: &str = "previous_secrets";
const HEADERS: &str = "headers";
const CERTIFICATE: &str = "client_certificate";
const PATH: &str = "path_and_query";

/// The sealed columns.
pub(super) const SEALED: SealedTable =
    SealedTable { table: "webhook_credentials", columns: &[SECRET, PREVIOUS, HEADERS, CERTIFICATE, PATH] };

/// A replaced key, which signs until it expires.
#[derive(Debug)]
pub(crate) struct PreviousKey {
    pub(crate) key: SigningKey,
    pub(crate) expires_at: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    key: Zeroizing<String>,
    expires_at: i64,
}

/// Seals the key of a subscription.
pub(crate) fn seal_key(
    keyring: &Keyring,
    id: SubscriptionId,
    key: &SigningKey,
) -> Result<Vec<u8>, SealError> {
    keyring.seal(&SEALED.place(SECRET, id.as_uuid()), &key.kept())
}

pub(super) fn open_key(
    keyring: &Keyring,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<SigningKey, SealError> {
    let kept = keyring.open(&SEALED.place(SECRET, id.as_uuid()), sealed)?;
    SigningKey::from_kept(kept).ok_or(SealError::Damaged)
}

/// Seals the replaced keys.
pub(crate) fn seal_previous(
    keyring: &Keyring,
    id: SubscriptionId,
    keys: &[PreviousKey],
) -> Result<Vec<u8>, SealError> {
    let stored = |it: &PreviousKey| StoredKey {
        key: Zeroizing::new(STANDARD.encode(it.key.kept())),
        expires_at: it.expires_at.unix_timestamp(),
    };
    seal(keyring, PREVIOUS, id, &keys.iter().map(stored).collect::<Vec<_>>())
}

pub(super) fn open_previous(
    keyring: &Keyring,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<Vec<PreviousKey>, SealError> {
    let stored: Vec<StoredKey> = open(keyring, PREVIOUS, id, sealed)?;
    let read = |it: StoredKey| {
        let key = SigningKey::from_kept(Zeroizing::new(STANDARD.decode(&*it.key).ok()?))?;
        Some(PreviousKey { key, expires_at: OffsetDateTime::from_unix_timestamp(it.expires_at).ok()? })
    };
    stored.into_iter().map(read).collect::<Option<_>>().ok_or(SealError::Damaged)
}

/// Seals headers; their values may be credentials.
pub(crate) fn seal_headers(
    keyring: &Keyring,
    id: SubscriptionId,
    headers: &BTreeMap<String, SecretString>,
) -> Result<Vec<u8>, SealError> {
    let shown: BTreeMap<&str, &str> =
        headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    seal(keyring, HEADERS, id, &shown)
}

pub(super) fn open_headers(
    keyring: &Keyring,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<Vec<(String, String)>, SealError> {
    let headers: BTreeMap<String, String> = open(keyring, HEADERS, id, sealed)?;
    Ok(headers.into_iter().collect())
}

/// Seals a client's certificate with its key.
pub(crate) fn seal_certificate(
    keyring: &Keyring,
    id: SubscriptionId,
    pem: &SecretString,
) -> Result<Vec<u8>, SealError> {
    keyring.seal(&SEALED.place(CERTIFICATE, id.as_uuid()), pem.expose_secret().as_bytes())
}

pub(super) fn open_certificate(
    keyring: &Keyring,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<SecretString, SealError> {
    let pem = keyring.open(&SEALED.place(CERTIFICATE, id.as_uuid()), sealed)?;
    Ok(std::str::from_utf8(&pem).map_err(|_hidden| SealError::Damaged)?.into())
}

/// Seals path and query of a receiver's URL, which may hold a token.
pub(crate) fn seal_path(
    keyring: &Keyring,
    id: SubscriptionId,
    path_and_query: &str,
) -> Result<Vec<u8>, SealError> {
    keyring.seal(&SEALED.place(PATH, id.as_uuid()), path_and_query.as_bytes())
}

pub(super) fn open_path(
    keyring: &Keyring,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<SecretString, SealError> {
    keyring.open_text(&SEALED.place(PATH, id.as_uuid()), sealed)
}

fn seal(
    keyring: &Keyring,
    column: &'static str,
    id: SubscriptionId,
    value: &impl Serialize,
) -> Result<Vec<u8>, SealError> {
    let json = serde_json::to_vec(value).map_err(|_hidden| SealError::CannotSeal)?;
    keyring.seal(&SEALED.place(column, id.as_uuid()), &Zeroizing::new(json))
}

fn open<T: for<'de> Deserialize<'de>>(
    keyring: &Keyring,
    column: &'static str,
    id: SubscriptionId,
    sealed: &[u8],
) -> Result<T, SealError> {
    let json = keyring.open(&SEALED.place(column, id.as_uuid()), sealed)?;
    serde_json::from_slice(&json).map_err(|_hidden| SealError::Damaged)
}
