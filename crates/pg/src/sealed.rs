//! Values sealed at rest: XChaCha20-Poly1305, bound to their place.
//!
//! A sealed value is `version (1 byte) · length of the key id (1) · key id · nonce (24) · ciphertext and tag`. Its
//! associated data is table, column and row, so that a value copied into another row cannot be opened. The leading key
//! id allows old values to be opened while new ones are sealed with a newer key.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore;
use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// The length of a key id must fit its one byte.
const MAX_KEY_ID_BYTES: usize = 255;

/// The keys that seal and open values. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Keys>);

struct Keys {
    /// The first key seals.
    ids: Vec<String>,
    ciphers: HashMap<String, XChaCha20Poly1305>,
}

/// The place of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Name of the table.
    pub table: &'static str,
    /// Name of the column.
    pub column: &'static str,
    /// Id of the row.
    pub row: Uuid,
}

/// The reason why a value cannot be sealed or opened. It contains nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The keyring is empty.
    #[error("no encryption key is configured")]
    NoKey,
    /// Two keys with one id, or an id that is empty or too long.
    #[error("encryption key id {0:?} is empty, too long, or given twice")]
    KeyId(String),
    /// Not a sealed value.
    #[error("the sealed value is damaged")]
    Damaged,
    /// The key of the value is not configured.
    #[error("encryption key {0:?} is not configured")]
    UnknownKey(String),
    /// The value was changed, or belongs to another place.
    #[error("the sealed value of {table}.{column} does not open: damaged, or moved from another row")]
    DoesNotOpen {
        /// Name of the table.
        table: &'static str,
        /// Name of the column.
        column: &'static str,
    },
    /// The value is too large to seal.
    #[error("the value cannot be sealed")]
    CannotSeal,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("ids", &self.0.ids).finish_non_exhaustive()
    }
}

impl Place {
    fn associated_data(&self) -> Vec<u8> {
        format!("{}\0{}\0{}", self.table, self.column, self.row).into_bytes()
    }
}

impl Keyring {
    /// A keyring of these keys by id. The first one seals, all of them open.
    ///
    /// # Errors
    /// There is no key, or an id is empty, over 255 bytes long or given twice.
    pub fn new(keys: impl IntoIterator<Item = (String, Zeroizing<[u8; 32]>)>) -> Result<Self, SealError> {
        let mut ids = Vec::new();
        let mut ciphers = HashMap::new();
        for (id, key) in keys {
            let fits = !id.is_empty() && id.len() <= MAX_KEY_ID_BYTES;
            if !fits || ciphers.insert(id.clone(), XChaCha20Poly1305::new((&*key).into())).is_some() {
                return Err(SealError::KeyId(id));
            }
            ids.push(id);
        }
        if ids.is_empty() { Err(SealError::NoKey) } else { Ok(Self(Arc::new(Keys { ids, ciphers }))) }
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> &str {
        self.0.ids.first().map(String::as_str).unwrap_or_default()
    }

    /// The ids of all keys, the one that seals first.
    pub fn key_ids(&self) -> &[String] {
        &self.0.ids
    }

    /// The first bytes of every value that the sealing key sealed.
    pub(crate) fn sealed_prefix(&self) -> Vec<u8> {
        prefix(self.sealing_key())
    }

    /// Seals a value for one place.
    ///
    /// # Errors
    /// The value exceeds the cipher's limit of 256 GiB.
    pub fn seal(&self, place: &Place, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal_with(self.sealing_key(), place, plaintext)
    }

    /// Seals a value with one of the keys.
    ///
    /// # Errors
    /// As [`Keyring::seal`], or there is no key of this id.
    pub(crate) fn seal_with(&self, id: &str, place: &Place, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let cipher = self.0.ciphers.get(id).ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plaintext, aad: &place.associated_data() };
        let ciphertext =
            cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_opaque| SealError::CannotSeal)?;
        Ok([prefix(id).as_slice(), &nonce, &ciphertext].concat())
    }

    /// Opens a value sealed for the same place.
    ///
    /// # Errors
    /// The value is damaged, was sealed for another place, or its key is not configured.
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, nonce, ciphertext) = parts(sealed).ok_or(SealError::Damaged)?;
        let cipher = self.0.ciphers.get(id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let payload = Payload { msg: ciphertext, aad: &place.associated_data() };
        cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_opaque| SealError::DoesNotOpen { table: place.table, column: place.column })
    }

    /// Opens a value that is text.
    ///
    /// # Errors
    /// As [`Keyring::open`], or it is not UTF-8.
    pub fn open_text(&self, place: &Place, sealed: &[u8]) -> Result<SecretString, SealError> {
        let plaintext = self.open(place, sealed)?;
        str::from_utf8(&plaintext).map(SecretString::from).map_err(|_not_utf8| SealError::Damaged)
    }
}

fn prefix(id: &str) -> Vec<u8> {
    // `Keyring::new` rejects longer ids.
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX);
    [&[VERSION, length], id.as_bytes()].concat()
}

fn parts(sealed: &[u8]) -> Option<(&str, &[u8; NONCE_BYTES], &[u8])> {
    let ([version, id_length], rest) = sealed.split_first_chunk::<2>()?;
    let (id, rest) = rest.split_at_checked(usize::from(*id_length))?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
    (*version == VERSION).then_some((str::from_utf8(id).ok()?, nonce, ciphertext))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use secrecy::ExposeSecret;
    use uuid::Uuid;
    use zeroize::Zeroizing;

    use super::{Keyring, Place, SealError};

    fn key(id: &str, byte: u8) -> (String, Zeroizing<[u8; 32]>) {
        (id.to_owned(), Zeroizing::new([byte; 32]))
    }

    const PLACE: Place = Place { table: "user_tokens", column: "access_token", row: Uuid::from_u128(1) };

    #[test]
    fn a_sealed_value_opens_only_in_its_place() {
        let keyring = Keyring::new([key("k1", 1)]).unwrap();
        let sealed = keyring.seal(&PLACE, "zażółć".as_bytes()).unwrap();
        assert_eq!(keyring.open_text(&PLACE, &sealed).unwrap().expose_secret(), "zażółć");
        for place in [
            Place { row: Uuid::from_u128(2), ..PLACE },
            Place { column: "refresh_token", ..PLACE },
            Place { table: "authorizations", ..PLACE },
        ] {
            assert!(matches!(keyring.open(&place, &sealed), Err(SealError::DoesNotOpen { .. })), "{place:?}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_keys_open() {
        let old = Keyring::new([key("k1", 1)]).unwrap();
        let both = Keyring::new([key("k2", 2), key("k1", 1)]).unwrap();
        let new = Keyring::new([key("k2", 2)]).unwrap();
        let by_old = old.seal(&PLACE, b"secret").unwrap();
        assert_eq!(**both.open(&PLACE, &by_old).unwrap(), *b"secret");
        assert_eq!(new.open(&PLACE, &by_old).unwrap_err(), SealError::UnknownKey("k1".to_owned()));
        assert_eq!(**new.open(&PLACE, &both.seal(&PLACE, b"secret").unwrap()).unwrap(), *b"secret");
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let keyring = Keyring::new([key("k1", 1)]).unwrap();
        let sealed = keyring.seal(&PLACE, b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            assert!(keyring.open(&PLACE, &changed).is_err(), "byte {at} changed");
            assert!(keyring.open(&PLACE, sealed.get(..at).unwrap()).is_err(), "cut to {at} bytes");
        }
    }

    #[test]
    fn a_keyring_needs_keys_with_different_names() {
        assert_eq!(Keyring::new([]).unwrap_err(), SealError::NoKey);
        assert_eq!(
            Keyring::new([key("k1", 1), key("k1", 2)]).unwrap_err(),
            SealError::KeyId("k1".to_owned())
        );
        assert_eq!(Keyring::new([key("", 1)]).unwrap_err(), SealError::KeyId(String::new()));
    }
}
