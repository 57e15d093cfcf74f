//! Lists of keys in one setting.

use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The stored part of an API key `zk_<id>_<secret>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id: `[a-z0-9-]{1,32}`.
    pub id: String,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// The scopes it grants.
    pub scopes: Vec<String>,
}

/// A key for secrets at rest.
pub struct EncryptionKey {
    /// Its id, the prefix of all values that it sealed: `[a-z0-9_-]{1,32}`.
    pub id: String,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn is_id(id: &str, extra: &[u8]) -> bool {
    (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || extra.contains(&byte))
}

/// Parses `id:base64,…`. A mistake names a key by its position and omits the decoder's message: both id and message
/// could contain a part of the key.
pub(super) fn parse_encryption_keys(text: &str) -> Result<Vec<EncryptionKey>, String> {
    let mut ids = HashSet::new();
    let keys = text.split(',').enumerate().map(|(index, entry)| {
        let rule = |rule: &str| format!("key {}: {rule}", index + 1);
        let (id, encoded) = entry.trim().split_once(':').ok_or_else(|| rule("must be id:base64"))?;
        if !is_id(id, b"_-") {
            return Err(rule("its id must be 1 to 32 of a-z, 0-9, _ and -"));
        }
        if !ids.insert(id) {
            return Err(rule("its id is used twice"));
        }
        let bytes =
            Zeroizing::new(STANDARD.decode(encoded).ok().ok_or_else(|| rule("must be standard base64"))?);
        let key =
            <[u8; 32]>::try_from(bytes.as_slice()).ok().ok_or_else(|| rule("must be exactly 32 bytes"))?;
        Ok(EncryptionKey { id: id.to_owned(), key: Zeroizing::new(key) })
    });
    keys.collect()
}

/// Parses `id:sha256:scope scope;…`.
pub(super) fn parse_api_keys(text: &str) -> Result<Vec<ApiKey>, String> {
    let mut ids = HashSet::new();
    let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
    let keys = entries.enumerate().map(|(index, entry)| {
        let rule = |rule: &str| format!("key {}: {rule}", index + 1);
        let mut parts = entry.splitn(3, ':');
        let (Some(id), Some(hash), Some(scopes)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(rule("must be id:sha256:scopes"));
        };
        if !is_id(id, b"-") {
            return Err(rule("its id must be 1 to 32 of a-z, 0-9 and -"));
        }
        if !ids.insert(id) {
            return Err(rule("its id is used twice"));
        }
        let mut sha256 = [0; 32];
        hex::decode_to_slice(hash, &mut sha256)
            .ok()
            .ok_or_else(|| rule("its SHA-256 must be 64 hex digits"))?;
        let scopes: Vec<String> = scopes.split_ascii_whitespace().map(str::to_owned).collect();
        if scopes.is_empty() {
            return Err(rule("needs at least one scope"));
        }
        Ok(ApiKey { id: id.to_owned(), sha256, scopes })
    });
    keys.collect()
}
