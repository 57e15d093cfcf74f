//! Signs and verifies tokens with ring. The crates that `jsonwebtoken` uses for it take as long to build as a service
//! (ADR 0119).
//!
//! A token is signed with HS256 and verified with HS256, RS256, ES256 or EdDSA (RFC 7518 §3.1, RFC 8037).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::error::Unspecified;
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use ring in this process. Call it before a token is signed or verified. Further calls have no
/// effect.
pub fn install() {
    let _installed_before = PROVIDER.install_default();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))))
        }
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is the library's")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = || Ok::<_, Error>(key.try_get_as_bytes()?.to_vec());
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec) => {
            Ok(Box::new(Es256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes()?))))
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            Ok(Box::new(Ed25519(UnparsedPublicKey::new(&ED25519, bytes()?))))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa) => match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                Ok(Box::new(Rs256(RsaPublicKeyComponents { n: trimmed(n), e: trimmed(e) })))
            }
            DecodingKeyKind::SecretOrDer(_) => Err(new_error(ErrorKind::InvalidKeyFormat)),
        },
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

/// A big-endian number without leading zeros: ring rejects them, and some issuers publish them.
fn trimmed(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

struct Hs256(hmac::Key);
struct Rs256(RsaPublicKeyComponents<Vec<u8>>);
struct Es256(UnparsedPublicKey<Vec<u8>>);
struct Ed25519(UnparsedPublicKey<Vec<u8>>);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// Implements both traits of a verifier, given its algorithm and ring's verification.
macro_rules! verifier {
    ($name:ident, $algorithm:expr, |$key:ident, $message:ident, $signature:ident| $verified:expr) => {
        impl Verifier<Vec<u8>> for $name {
            fn verify(&self, $message: &[u8], $signature: &Vec<u8>) -> Result<(), signature::Error> {
                let $key = &self.0;
                $verified.map_err(|Unspecified| signature::Error::new())
            }
        }

        impl JwtVerifier for $name {
            fn algorithm(&self) -> Algorithm {
                $algorithm
            }
        }
    };
}

verifier!(Hs256, Algorithm::HS256, |key, message, signature| hmac::verify(key, message, signature));
verifier!(Rs256, Algorithm::RS256, |key, message, signature| {
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
});
verifier!(Es256, Algorithm::ES256, |key, message, signature| key.verify(message, signature));
verifier!(Ed25519, Algorithm::EdDSA, |key, message, signature| key.verify(message, signature));
