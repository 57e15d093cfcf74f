//! Settings of credentials and keys, which are the same in every service.

use secrecy::SecretString;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::keys::{ApiKey, EncryptionKey, parse_api_keys, parse_encryption_keys};
use super::reader::{Absent, Declaration, Reader, http_url};

/// RFC 7518 §3.2: an HS256 key has at least the size of the hash.
const JWT_SECRET_BYTES: usize = 32;

/// The credentials that are accepted.
#[derive(Debug)]
pub struct Auth {
    /// Secret of tokens signed with HS256.
    pub jwt_secret: Option<SecretString>,
    /// JWKS URL of the keys of tokens signed with RS256, ES256 or EdDSA.
    pub jwks_url: Option<Url>,
    /// API keys.
    pub api_keys: Vec<ApiKey>,
}

/// Keys for secrets at rest.
#[derive(Debug)]
pub struct Encryption {
    /// At least one. The first one seals, all of them open.
    pub keys: Vec<EncryptionKey>,
}

impl Encryption {
    /// The keys with their ids, in the form that a keyring takes.
    pub fn into_keys(self) -> impl Iterator<Item = (String, Zeroizing<[u8; 32]>)> {
        self.keys.into_iter().map(|EncryptionKey { id, key }| (id, key))
    }
}

impl Auth {
    /// The API keys as id, SHA-256 and scopes, in the form that an authenticator takes.
    pub fn into_api_keys(self) -> impl Iterator<Item = (String, [u8; 32], Vec<String>)> {
        self.api_keys.into_iter().map(|ApiKey { id, sha256, scopes }| (id, sha256, scopes))
    }
}

impl Reader {
    /// `ENCRYPTION_KEYS`.
    pub fn encryption(&mut self) -> Encryption {
        let declaration = Declaration {
            name: "ENCRYPTION_KEYS",
            kind: "id:base64,id:base64…".to_owned(),
            absent: Absent::Required,
            meaning: "Keys of 32 bytes that seal secrets in the database; the first one seals, all of them open.",
            is_secret: true,
        };
        Encryption { keys: self.declare(declaration, parse_encryption_keys).unwrap_or_default() }
    }

    /// `AUTH_JWT_SECRET`, `AUTH_JWKS_URL`, `AUTH_API_KEYS`.
    pub(crate) fn auth(&mut self) -> Auth {
        let declaration = Declaration {
            name: "AUTH_API_KEYS",
            kind: "id:sha256:scope scope;…".to_owned(),
            absent: Absent::Optional,
            meaning: "API keys that are accepted: id, SHA-256 (hex) of the whole key zk_<id>_<secret>, scopes.",
            is_secret: true,
        };
        let api_keys = self.declare(declaration, parse_api_keys).unwrap_or_default();
        Auth { jwt_secret: self.jwt_secret(Absent::Optional), jwks_url: self.jwks_url(), api_keys }
    }

    fn jwks_url(&mut self) -> Option<Url> {
        let declaration = Declaration {
            name: "AUTH_JWKS_URL",
            kind: "https address".to_owned(),
            absent: Absent::Optional,
            meaning: "Tokens (RS256, ES256, EdDSA; aud zaplecze) signed with the keys published there are accepted.",
            is_secret: false,
        };
        // An attacker who changed the keys on their way could sign valid tokens.
        self.declare(declaration, |text| {
            http_url(text).ok().filter(|url| url.scheme() == "https" || is_loopback(url)).ok_or_else(|| {
                "must be an https address without a password (http on this machine only)".to_owned()
            })
        })
    }

    /// Only `AUTH_JWT_SECRET`.
    pub(crate) fn jwt_secret(&mut self, absent: Absent) -> Option<SecretString> {
        let declaration = Declaration {
            name: "AUTH_JWT_SECRET",
            kind: "secret, 32 bytes or more".to_owned(),
            absent,
            meaning: "Tokens signed with it (HS256, aud zaplecze) are accepted.",
            is_secret: true,
        };
        self.declare(declaration, |text| {
            if text.len() < JWT_SECRET_BYTES {
                return Err(format!("must be at least {JWT_SECRET_BYTES} bytes long, is {}", text.len()));
            }
            Ok(text.into())
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
