//! Settings that mean the same in every service.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::keys::{ApiKey, EncryptionKey, parse_api_keys, parse_encryption_keys};
use super::reader::{Absent, Ask, Reader, http_url};

/// RFC 7518 §3.2: an HS256 key has at least the size of the hash.
const JWT_SECRET_BYTES: usize = 32;

/// Postgres.
#[derive(Debug)]
pub struct Database {
    /// `postgres://user:password@host:port/name?…`
    pub url: SecretString,
    /// Connections this process opens at most.
    pub pool_size: usize,
}

/// Redis.
#[derive(Debug)]
pub struct Redis {
    /// `redis://…` or `rediss://…`
    pub url: SecretString,
}

/// RabbitMQ.
#[derive(Debug)]
pub struct Amqp {
    /// `amqp://…` or `amqps://…`
    pub url: SecretString,
}

/// Whom to let in.
#[derive(Debug)]
pub struct Auth {
    /// Tokens signed with it (HS256) are accepted.
    pub jwt_secret: Option<SecretString>,
    /// Tokens signed with the keys published there (RS256, ES256, EdDSA) are accepted.
    pub jwks_url: Option<Url>,
    /// Keys that are accepted.
    pub api_keys: Vec<ApiKey>,
}

/// Keys for secrets at rest.
#[derive(Debug)]
pub struct Encryption {
    /// At least one; the first seals, all open.
    pub keys: Vec<EncryptionKey>,
}

impl Encryption {
    /// Each key with its id, as a keyring takes them.
    pub fn into_keys(self) -> impl Iterator<Item = (String, Zeroizing<[u8; 32]>)> {
        self.keys.into_iter().map(|EncryptionKey { id, key }| (id, key))
    }
}

impl Auth {
    /// Each API key as id, SHA-256 and scopes, as an authenticator takes them.
    pub fn into_api_keys(self) -> impl Iterator<Item = (String, [u8; 32], Vec<String>)> {
        self.api_keys.into_iter().map(|ApiKey { id, sha256, scopes }| (id, sha256, scopes))
    }
}

impl Reader {
    /// `DATABASE_URL`, or `DATABASE_HOST`, `_PORT`, `_NAME`, `_USER`, `_PASSWORD`; the URL wins.
    pub fn database(&mut self) -> Database {
        let url = self.address(
            "DATABASE_URL",
            Absent::Optional,
            &["postgres", "postgresql"],
            "Postgres, as postgres://user:password@host:port/name; or the five DATABASE_… below.",
        );
        let host = self.optional_text("DATABASE_HOST", "Host of Postgres, where DATABASE_URL is not set.");
        let port = self.number("DATABASE_PORT", 5432, 1..=u16::MAX, "Port of Postgres.");
        let name = self.optional_text("DATABASE_NAME", "The database's name.");
        let user = self.optional_text("DATABASE_USER", "The service's role.");
        let password = self.optional_secret("DATABASE_PASSWORD", "The role's password.");
        let pool_size =
            self.number("DATABASE_POOL_SIZE", 10, 1..=200, "Connections this process opens at most.");

        let url = url.or_else(|| {
            let url = postgres_url(&host?, port, &name?, &user?, password.as_ref());
            if url.is_none() {
                self.mistake("DATABASE_HOST", "must be the name or address of a host");
            }
            Some(url.unwrap_or_default())
        });
        if url.is_none() && !self.has_mistake("DATABASE_URL") {
            self.mistake(
                "DATABASE_URL",
                "is required (or DATABASE_HOST, DATABASE_NAME, DATABASE_USER and DATABASE_PASSWORD)",
            );
        }
        Database { url: url.unwrap_or_default(), pool_size }
    }

    /// `REDIS_URL`.
    pub fn redis(&mut self) -> Redis {
        Redis { url: self.redis_url(Absent::Required).unwrap_or_default() }
    }

    /// `REDIS_URL`, for a service that does without.
    pub fn optional_redis(&mut self) -> Option<Redis> {
        self.redis_url(Absent::Optional).map(|url| Redis { url })
    }

    fn redis_url(&mut self, absent: Absent) -> Option<SecretString> {
        let meaning = "Redis, as redis://user:password@host:port/db, or rediss://… for TLS.";
        self.address("REDIS_URL", absent, &["redis", "rediss"], meaning)
    }

    /// `AMQP_URL`.
    pub fn amqp(&mut self) -> Amqp {
        let meaning = "RabbitMQ, as amqp://user:password@host:port/vhost, or amqps://… for TLS.";
        let url = self.address("AMQP_URL", Absent::Required, &["amqp", "amqps"], meaning);
        Amqp { url: url.unwrap_or_default() }
    }

    /// `ENCRYPTION_KEYS`.
    pub fn encryption(&mut self) -> Encryption {
        let ask = Ask {
            name: "ENCRYPTION_KEYS",
            kind: "id:base64,id:base64…".to_owned(),
            absent: Absent::Required,
            meaning: "Keys of 32 bytes that seal secrets in the database; the first seals, all open.",
            is_secret: true,
        };
        Encryption { keys: self.ask(ask, parse_encryption_keys).unwrap_or_default() }
    }

    /// `AUTH_JWT_SECRET`, `AUTH_JWKS_URL`, `AUTH_API_KEYS`.
    pub(crate) fn auth(&mut self) -> Auth {
        let ask = Ask {
            name: "AUTH_API_KEYS",
            kind: "id:sha256:scope scope;…".to_owned(),
            absent: Absent::Optional,
            meaning: "API keys that are accepted: id, SHA-256 (hex) of the whole key zk_<id>_<secret>, scopes.",
            is_secret: true,
        };
        let api_keys = self.ask(ask, parse_api_keys).unwrap_or_default();
        Auth { jwt_secret: self.jwt_secret(Absent::Optional), jwks_url: self.jwks_url(), api_keys }
    }

    fn jwks_url(&mut self) -> Option<Url> {
        let ask = Ask {
            name: "AUTH_JWKS_URL",
            kind: "https address".to_owned(),
            absent: Absent::Optional,
            meaning: "Tokens (RS256, ES256, EdDSA; aud zaplecze) signed with the keys published there are accepted.",
            is_secret: false,
        };
        // Who could change the keys on their way could let anybody in.
        self.ask(ask, |text| {
            http_url(text).ok().filter(|url| url.scheme() == "https" || is_loopback(url)).ok_or_else(|| {
                "must be an https address without a password (http on this machine only)".to_owned()
            })
        })
    }

    /// `AUTH_JWT_SECRET` alone.
    pub(crate) fn jwt_secret(&mut self, absent: Absent) -> Option<SecretString> {
        let ask = Ask {
            name: "AUTH_JWT_SECRET",
            kind: "secret, 32 bytes or more".to_owned(),
            absent,
            meaning: "Tokens signed with it (HS256, aud zaplecze) are accepted.",
            is_secret: true,
        };
        self.ask(ask, |text| {
            if text.len() < JWT_SECRET_BYTES {
                return Err(format!("must be at least {JWT_SECRET_BYTES} bytes long, is {}", text.len()));
            }
            Ok(text.into())
        })
    }

    /// An address that may hold a password.
    fn address(
        &mut self,
        name: &'static str,
        absent: Absent,
        schemes: &[&str],
        meaning: &'static str,
    ) -> Option<SecretString> {
        let kind = schemes.iter().map(|scheme| format!("{scheme}://…")).collect::<Vec<_>>().join(" or ");
        let rule = format!("must begin with {}", kind.replace('…', ""));
        self.ask(Ask { name, kind, absent, meaning, is_secret: true }, |text| {
            let scheme = text.split_once("://").map(|(scheme, _)| scheme);
            if scheme.is_some_and(|scheme| schemes.contains(&scheme)) { Ok(text.into()) } else { Err(rule) }
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

fn postgres_url(
    host: &str,
    port: u16,
    name: &str,
    user: &str,
    password: Option<&SecretString>,
) -> Option<SecretString> {
    let mut url = Url::parse("postgres://host").ok()?;
    url.set_host(Some(host)).ok()?;
    url.set_port(Some(port)).ok()?;
    url.set_username(user).ok()?;
    url.set_password(password.map(SecretString::expose_secret)).ok()?;
    url.path_segments_mut().ok()?.push(name);
    Some(String::from(url).into())
}
