//! Signatures and secrets of Standard Webhooks 1.0.
//!
//! The prefix of a secret says of which kind it is, and nothing else does: `whsec_` is symmetric and signs `v1`, `whsk_` is
//! asymmetric and signs `v1a`. What is kept of a symmetric key are its bytes, 64 at most; of an asymmetric one the prefix and
//! 64 bytes, so that neither is ever taken for the other.

mod asymmetric;
mod symmetric;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    /// HMAC-SHA256, by a secret the receiver has too.
    V1,
    /// ed25519, by a secret nobody else needs: receivers verify with its public key.
    V1a,
}

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// `whsec_`: of another length, or no base64.
    Symmetric,
    /// `whsk_`: of another length, or no base64.
    Asymmetric,
    /// `whsk_`: the public half is another key's.
    Halves,
}

/// A signing key. It is not printable.
#[derive(Clone)]
pub(crate) enum SigningKey {
    Symmetric(symmetric::Key),
    Asymmetric(asymmetric::Key),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a secret as it is shown: `whsk_` and base64, `whsec_` and base64, or base64 alone, which is a symmetric one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(secret: &str) -> Result<Self, Malformed> {
        match secret.strip_prefix(asymmetric::PREFIX) {
            Some(encoded) => asymmetric::Key::read(encoded).map(Self::Asymmetric),
            None => symmetric::Key::read(secret).map(Self::Symmetric).ok_or(Malformed::Symmetric),
        }
    }

    /// A key nobody has seen before.
    pub(crate) fn fresh(scheme: Scheme) -> Self {
        match scheme {
            Scheme::V1 => Self::Symmetric(symmetric::Key::fresh()),
            Scheme::V1a => Self::Asymmetric(asymmetric::Key::fresh()),
        }
    }

    /// The key whose bytes were kept; none when they are no key's.
    pub(crate) fn from_kept(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        match symmetric::Key::from_kept(bytes) {
            Ok(key) => Some(Self::Symmetric(key)),
            Err(longer) => asymmetric::Key::from_kept(&longer).map(Self::Asymmetric),
        }
    }

    /// The bytes to be sealed.
    pub(crate) fn kept(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Symmetric(key) => key.kept(),
            Self::Asymmetric(key) => key.kept(),
        }
    }

    /// As it is shown to its owner, once.
    pub(crate) fn shown(&self) -> SecretString {
        match self {
            Self::Symmetric(key) => key.shown(),
            Self::Asymmetric(key) => key.shown(),
        }
    }

    /// How it signs.
    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            Self::Symmetric(_) => Scheme::V1,
            Self::Asymmetric(_) => Scheme::V1a,
        }
    }

    /// What verifies its signatures and may be shown to everybody, `whpk_` and base64; a symmetric key has none.
    pub(crate) fn public(&self) -> Option<String> {
        match self {
            Self::Symmetric(_) => None,
            Self::Asymmetric(key) => Some(key.public()),
        }
    }

    /// One entry of the `webhook-signature` of a message: the signature of `id.timestamp.body`.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let head = format!("{id}.{timestamp}.");
        match self {
            Self::Symmetric(key) => key.sign(&head, body),
            Self::Asymmetric(key) => key.sign(&head, body),
        }
    }

    /// The `X-Webhook-Signature` receivers knew before there was a standard: `sha256=` and hex of HMAC-SHA256 over the
    /// body alone. An asymmetric key makes none.
    pub(crate) fn sign_body(&self, body: &[u8]) -> Option<String> {
        match self {
            Self::Symmetric(key) => key.sign_body(body),
            Self::Asymmetric(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret;
    use zeroize::Zeroizing;

    use super::{Malformed, Scheme, SigningKey};

    const ASYMMETRIC: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

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
            (
                ASYMMETRIC,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
            ),
        ] {
            let signed = SigningKey::read(secret).unwrap().sign(id, timestamp, body.as_bytes());
            assert_eq!(signed.unwrap(), expected, "{id}");
        }
        assert_eq!(SigningKey::read(ASYMMETRIC).unwrap().public().unwrap(), PUBLIC);
    }

    /// RFC 4231, test case 3: twenty bytes of 0xaa, here as a key that was kept.
    #[test]
    fn signs_bodies_as_rfc_4231_does() {
        let key = SigningKey::from_kept(Zeroizing::new(vec![0xaa; 20])).unwrap();
        let expected = "sha256=773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
        assert_eq!(key.sign_body(&[0xdd; 50]).unwrap(), expected);
    }

    #[test]
    fn secrets_are_of_their_kinds_lengths_and_halves_belong_together() {
        let secret = |prefix: &str, bytes: &[u8]| format!("{prefix}{}", STANDARD.encode(bytes));
        let halves = STANDARD.decode(ASYMMETRIC.trim_start_matches("whsk_")).unwrap();
        let swapped = [&halves[32..], &halves[..32]].concat();
        for (secret, expected) in [
            (secret("whsec_", &[7; 23]), Err(Malformed::Symmetric)),
            (secret("whsec_", &[7; 24]), Ok(Scheme::V1)),
            (secret("", &halves), Ok(Scheme::V1)),
            (secret("whsec_", &[7; 65]), Err(Malformed::Symmetric)),
            ("whsec_not base64".to_owned(), Err(Malformed::Symmetric)),
            (secret("whpk_", &halves[32..]), Err(Malformed::Symmetric)),
            (secret("whsk_", &halves), Ok(Scheme::V1a)),
            (secret("whsk_", &halves[..32]), Err(Malformed::Asymmetric)),
            (secret("whsk_", &[&halves[..], &[0]].concat()), Err(Malformed::Asymmetric)),
            ("whsk_not base64".to_owned(), Err(Malformed::Asymmetric)),
            (secret("whsk_", &swapped), Err(Malformed::Halves)),
            (secret("whsk_", &[7; 64]), Err(Malformed::Halves)),
        ] {
            assert_eq!(SigningKey::read(&secret).map(|key| key.scheme()), expected, "{secret}");
        }
    }

    /// Also where somebody chose a symmetric key that looks like the other kind.
    #[test]
    fn what_is_kept_or_shown_is_the_same_key_again() {
        let disguised = [b"whsk_".as_slice(), &[0; 59]].concat();
        for key in [
            SigningKey::fresh(Scheme::V1),
            SigningKey::fresh(Scheme::V1a),
            SigningKey::read(ASYMMETRIC).unwrap(),
            SigningKey::read(&STANDARD.encode(disguised)).unwrap(),
        ] {
            for again in [
                SigningKey::from_kept(key.kept()).unwrap(),
                SigningKey::read(key.shown().expose_secret()).unwrap(),
            ] {
                let sign = |key: &SigningKey| key.sign("evt", 7, b"{}").unwrap();
                assert_eq!((sign(&again), again.public()), (sign(&key), key.public()));
            }
            assert_eq!(format!("{key:?}"), "SigningKey");
        }
        assert_ne!(SigningKey::fresh(Scheme::V1a).kept(), SigningKey::fresh(Scheme::V1a).kept());
        for torn in [vec![7; 65], [b"whsk_".as_slice(), &[7; 64]].concat()] {
            assert!(SigningKey::from_kept(Zeroizing::new(torn)).is_none());
        }
    }
}
