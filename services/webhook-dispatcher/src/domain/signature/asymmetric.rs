//! `v1a`: ed25519.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use ed25519_dalek::{KEYPAIR_LENGTH, SECRET_KEY_LENGTH, SigningKey};
use rand::RngCore;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::Malformed;

/// Of a secret, as it is shown and as it is kept.
pub(super) const PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// The private half and the public one, ready to sign; wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct Key(Box<SigningKey>);

impl Key {
    /// Reads what stands behind the prefix.
    pub(super) fn read(encoded: &str) -> Result<Self, Malformed> {
        let bytes = STANDARD.decode(encoded).map_err(|_secret| Malformed::Asymmetric)?;
        Self::from_halves(&Zeroizing::new(bytes))
    }

    pub(super) fn fresh() -> Self {
        let mut private = Zeroizing::new([0; SECRET_KEY_LENGTH]);
        rand::rng().fill_bytes(&mut *private);
        Self(Box::new(SigningKey::from_bytes(&private)))
    }

    /// None when they are not the bytes of such a key.
    pub(super) fn from_kept(bytes: &[u8]) -> Option<Self> {
        Self::from_halves(bytes.strip_prefix(PREFIX.as_bytes())?).ok()
    }

    pub(super) fn kept(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([PREFIX.as_bytes(), &*self.halves()].concat())
    }

    pub(super) fn shown(&self) -> SecretString {
        format!("{PREFIX}{}", *Zeroizing::new(STANDARD.encode(*self.halves()))).into()
    }

    pub(super) fn public(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.verifying_key().as_bytes()))
    }

    pub(super) fn sign(&self, head: &str, body: &[u8]) -> Option<String> {
        let signature = self.0.try_multipart_sign(&[head.as_bytes(), body]).ok()?;
        Some(format!("v1a,{}", STANDARD.encode(signature.to_bytes())))
    }

    fn from_halves(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; KEYPAIR_LENGTH] = bytes.try_into().map_err(|_length| Malformed::Asymmetric)?;
        let key = SigningKey::from_keypair_bytes(bytes).map_err(|_secret| Malformed::Halves)?;
        Ok(Self(Box::new(key)))
    }

    fn halves(&self) -> Zeroizing<[u8; KEYPAIR_LENGTH]> {
        Zeroizing::new(self.0.to_keypair_bytes())
    }
}
