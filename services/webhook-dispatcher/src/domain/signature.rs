//! Signatures and secrets of Standard Webhooks 1.0.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// Standard Webhooks: between 24 and 64 bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const FRESH_BYTES: usize = 32;

/// A symmetric signing key.
#[derive(Clone)]
pub(crate) struct SigningKey(Zeroizing<Vec<u8>>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a secret as it is shown: `whsec_` and base64, or base64 alone. None when it is malformed, too short
    /// or too long.
    pub(crate) fn read(secret: &str) -> Option<Self> {
        let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let key = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        SECRET_BYTES.contains(&key.len()).then_some(Self(key))
    }

    /// The key as it is kept sealed.
    pub(crate) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// A key nobody has seen before.
    pub(crate) fn fresh() -> Self {
        let mut key = Zeroizing::new(vec![0; FRESH_BYTES]);
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// The bytes to be sealed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it is shown to its owner, once.
    pub(crate) fn shown(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(&*self.0)).into()
    }

    /// The `webhook-signature` of a message: HMAC-SHA256 over `id.timestamp.body`.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        // HMAC takes keys of any length; the error cannot happen.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }

    /// The `X-Webhook-Signature` receivers knew before there was a standard: `sha256=` and hex of HMAC-SHA256 over the
    /// body alone.
    pub(crate) fn sign_body(&self, body: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(body);
        Some(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use secrecy::ExposeSecret;

    use super::SigningKey;

    /// Vectors of the Standard Webhooks specification's reference libraries.
    #[test]
    fn signs_as_the_reference_libraries_do() {
        for (secret, id, timestamp, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ] {
            let signed = SigningKey::read(secret).unwrap().sign(id, timestamp, body.as_bytes());
            assert_eq!(signed.unwrap(), expected, "{id}");
        }
    }

    /// RFC 4231, test case 3: twenty bytes of 0xaa, here as a key that was kept.
    #[test]
    fn signs_bodies_as_rfc_4231_does() {
        let key = SigningKey::from_bytes(zeroize::Zeroizing::new(vec![0xaa; 20]));
        let expected = "sha256=773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
        assert_eq!(key.sign_body(&[0xdd; 50]).unwrap(), expected);
    }

    #[test]
    fn secrets_have_24_to_64_bytes() {
        let secret = |bytes: usize| {
            use base64::Engine;
            format!("whsec_{}", super::STANDARD.encode(vec![7; bytes]))
        };
        for (bytes, expected) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(SigningKey::read(&secret(bytes)).is_some(), expected, "{bytes} bytes");
        }
        assert!(SigningKey::read("whsec_not base64").is_none());
        let fresh = SigningKey::fresh();
        let read_back = SigningKey::read(fresh.shown().expose_secret()).unwrap();
        assert_eq!(read_back.bytes(), fresh.bytes());
    }
}
