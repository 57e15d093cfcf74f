//! `v1`: HMAC-SHA256.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// Standard Webhooks: between 24 and 64 bytes.
const BYTES: RangeInclusive<usize> = 24..=64;
const FRESH_BYTES: usize = 32;

#[derive(Clone)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// None when it is malformed, too short or too long.
    pub(super) fn read(secret: &str) -> Option<Self> {
        let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        BYTES.contains(&key.len()).then_some(Self(key))
    }

    pub(super) fn fresh() -> Self {
        let mut key = Zeroizing::new(vec![0; FRESH_BYTES]);
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// # Errors
    /// The bytes themselves, where there are more of them than any such key has.
    pub(super) fn from_kept(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Zeroizing<Vec<u8>>> {
        if bytes.len() > *BYTES.end() { Err(bytes) } else { Ok(Self(bytes)) }
    }

    pub(super) fn kept(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    pub(super) fn shown(&self) -> SecretString {
        format!("{PREFIX}{}", *Zeroizing::new(STANDARD.encode(&*self.0))).into()
    }

    pub(super) fn sign(&self, head: &str, body: &[u8]) -> Option<String> {
        let mut mac = self.mac()?;
        mac.update(head.as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    pub(super) fn sign_body(&self, body: &[u8]) -> Option<String> {
        let mut mac = self.mac()?;
        mac.update(body);
        Some(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length; the error cannot happen.
        Hmac::new_from_slice(&self.0).ok()
    }
}
