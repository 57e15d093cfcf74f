//! Settings of Postgres, Redis and RabbitMQ: an address, or its parts.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::address::{AMQP, Grammar, POSTGRES, REDIS};
use super::reader::{Absent, Declaration, Reader};

/// Postgres.
#[derive(Debug)]
pub struct Database {
    /// `postgres://user:password@host:port/name?…`
    pub url: SecretString,
    /// Maximum number of connections of this process.
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

impl Reader {
    /// Reads `DATABASE_URL`, or `DATABASE_HOST`, `_PORT`, `_NAME`, `_USER`, `_PASSWORD`. The URL has precedence.
    pub fn database(&mut self) -> Database {
        let url = self.address(
            "DATABASE_URL",
            Absent::Optional,
            &POSTGRES,
            "Postgres, as postgres://user:password@host:port/name; or the five DATABASE_… below. For TLS with \
             ?sslmode=… and &sslrootcert=… as libpq has them.",
        );
        let host = self.optional_text("DATABASE_HOST", "Host of Postgres, when DATABASE_URL is not set.");
        let port = self.number("DATABASE_PORT", 5432, 1..=u16::MAX, "Port of Postgres.");
        let name = self.optional_text("DATABASE_NAME", "The database's name.");
        let user = self.optional_text("DATABASE_USER", "The service's role.");
        let password = self.optional_secret("DATABASE_PASSWORD", "The role's password.");
        let pool_size =
            self.number("DATABASE_POOL_SIZE", 10, 1..=200, "Maximum number of connections of this process.");

        let url = url.or_else(|| {
            let server = Server { scheme: "postgres", host: &host?, port, user: &user?, password };
            Some(self.built("DATABASE_HOST", &server, &name?))
        });
        if url.is_none() && !self.has_mistake("DATABASE_URL") {
            self.mistake(
                "DATABASE_URL",
                "is required (or DATABASE_HOST, DATABASE_NAME, DATABASE_USER and DATABASE_PASSWORD)",
            );
        }
        Database { url: url.unwrap_or_default(), pool_size }
    }

    /// Reads `REDIS_URL`, or `REDIS_HOST`, `_PORT`, `_DB`, `_PASSWORD`. The URL has precedence.
    pub fn redis(&mut self) -> Redis {
        let redis = self.optional_redis();
        if redis.is_none() && !self.has_mistake("REDIS_URL") {
            self.mistake("REDIS_URL", "is required (or REDIS_HOST)");
        }
        redis.unwrap_or(Redis { url: SecretString::default() })
    }

    /// As [`Reader::redis`], but optional.
    pub fn optional_redis(&mut self) -> Option<Redis> {
        let url = self.address(
            "REDIS_URL",
            Absent::Optional,
            &REDIS,
            "Redis, as redis://user:password@host:port/db, or rediss://… for TLS; or the four REDIS_… below.",
        );
        let host = self.optional_text("REDIS_HOST", "Host of Redis, when REDIS_URL is not set.");
        let port = self.number("REDIS_PORT", 6379, 1..=u16::MAX, "Port of Redis.");
        let database = self.number("REDIS_DB", 0, 0..=u16::MAX, "Number of the database in Redis.");
        let password = self.optional_secret("REDIS_PASSWORD", "Redis' password.");
        let url = url.or_else(|| {
            let server = Server { scheme: "redis", host: &host?, port, user: "", password };
            Some(self.built("REDIS_HOST", &server, &database.to_string()))
        });
        url.map(|url| Redis { url })
    }

    /// `AMQP_URL`.
    pub fn amqp(&mut self) -> Amqp {
        let meaning = "RabbitMQ, as amqp://user:password@host:port/vhost, or amqps://… for TLS.";
        let url = self.address("AMQP_URL", Absent::Required, &AMQP, meaning);
        Amqp { url: url.unwrap_or_default() }
    }

    /// An address that may hold a password.
    fn address(
        &mut self,
        name: &'static str,
        absent: Absent,
        grammar: &Grammar,
        meaning: &'static str,
    ) -> Option<SecretString> {
        let declaration = Declaration { name, kind: grammar.kind(), absent, meaning, is_secret: true };
        self.declare(declaration, |text| grammar.check(text).map(|()| text.into()))
    }

    /// Builds the address of a server from its parts.
    fn built(&mut self, host: &'static str, server: &Server<'_>, path: &str) -> SecretString {
        server.url(path).unwrap_or_else(|| {
            self.mistake(host, "must be the name or address of a host");
            SecretString::default()
        })
    }
}

/// The parts of a server's address.
struct Server<'a> {
    scheme: &'static str,
    host: &'a str,
    port: u16,
    user: &'a str,
    password: Option<SecretString>,
}

impl Server<'_> {
    /// `None` when the host is invalid.
    fn url(&self, path: &str) -> Option<SecretString> {
        let mut url = Url::parse(&format!("{}://host", self.scheme)).ok()?;
        url.set_host(Some(self.host)).ok()?;
        url.set_port(Some(self.port)).ok()?;
        url.set_username(self.user).ok()?;
        url.set_password(self.password.as_ref().map(SecretString::expose_secret)).ok()?;
        url.path_segments_mut().ok()?.push(path);
        Some(String::from(url).into())
    }
}
