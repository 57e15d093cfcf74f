//! Checks addresses of dependencies by the rules of their drivers, so that an invalid address is reported before
//! anything starts.
//!
//! A mistake never contains a part of the address: a password that is not percent-encoded may be anywhere in it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{ParseError, Url, form_urlencoded};

const NO_HOST: &str = "must name a host";

/// The allowed form of the address of one kind of server.
pub(super) struct Grammar {
    schemes: &'static [&'static str],
    path: Path,
    parameters: &'static [(&'static str, Value)],
}

/// Meaning of the path.
enum Path {
    /// Name of a database or virtual host.
    Name,
    /// Number of a Redis database.
    Number,
}

/// Allowed values of a parameter.
enum Value {
    Text,
    Number,
    OneOf(&'static [&'static str]),
    /// Path of a file of certificates, or `system`.
    Roots,
}

/// The parameters of tokio-postgres that a service uses, and libpq's for TLS.
pub(super) const POSTGRES: Grammar = Grammar {
    schemes: &["postgres", "postgresql"],
    path: Path::Name,
    parameters: &[
        ("sslmode", Value::OneOf(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])),
        ("sslrootcert", Value::Roots),
        ("options", Value::Text),
        ("application_name", Value::Text),
        ("target_session_attrs", Value::OneOf(&["any", "read-write", "read-only"])),
        ("channel_binding", Value::OneOf(&["disable", "prefer", "require"])),
    ],
};

pub(super) const REDIS: Grammar = Grammar {
    schemes: &["redis", "rediss"],
    path: Path::Number,
    parameters: &[("protocol", Value::OneOf(&["resp2", "resp3"]))],
};

/// The parameters of lapin that a service uses.
pub(super) const AMQP: Grammar = Grammar {
    schemes: &["amqp", "amqps"],
    path: Path::Name,
    parameters: &[
        ("heartbeat", Value::Number),
        ("frame_max", Value::Number),
        ("channel_max", Value::Number),
        ("connection_timeout", Value::Number),
    ],
};

impl Grammar {
    /// `a://… or b://…`
    pub(super) fn kind(&self) -> String {
        self.schemes.iter().map(|scheme| format!("{scheme}://…")).collect::<Vec<_>>().join(" or ")
    }

    /// # Errors
    /// The rule the address breaks.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| self.schemes.contains(&scheme)) {
            return Err(format!("must begin with {}", self.kind().replace('…', "")));
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::EmptyHost => NO_HOST.to_owned(),
            _ => format!("is no address ({error}); a user and a password must be percent-encoded"),
        })?;
        // A password ends at `/`, `?` or `#`. An `@` after one of them shows that the character belongs to the
        // password.
        if [Some(url.path()), url.query(), url.fragment()]
            .into_iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return Err("must have its password percent-encoded: it contains an @ after /, ? or #".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(NO_HOST.to_owned());
        }
        if url.port() == Some(0) {
            return Err("must have a port from 1 to 65535, or none".to_owned());
        }
        self.path.check(url.path().strip_prefix('/').unwrap_or_default())?;
        if url.fragment().is_some() {
            return Err("must not hold #".to_owned());
        }
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(url.query().unwrap_or_default().as_bytes()) {
            let Some((known, rule)) = self.parameters.iter().find(|(known, _)| *known == name) else {
                let known = self.parameters.iter().map(|(known, _)| *known).collect::<Vec<_>>();
                return Err(format!("has an unknown parameter; known are {}", known.join(", ")));
            };
            if seen.contains(known) {
                return Err(format!("has the parameter {known} twice"));
            }
            seen.push(*known);
            rule.check(&value).map_err(|rule| format!("{known} {rule}"))?;
        }
        Ok(())
    }
}

impl Path {
    fn check(&self, path: &str) -> Result<(), &'static str> {
        match self {
            Self::Name if path.contains('/') => {
                Err("must have one name after the host, with %2F for a / in it")
            }
            Self::Number if !path.is_empty() && path.parse::<u16>().is_err() => {
                Err("must have a database's number after the host, or nothing")
            }
            Self::Name | Self::Number => Ok(()),
        }
    }
}

impl Value {
    fn check(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Number if text.parse::<u16>().is_err() => {
                Err("must be a whole number from 0 to 65535".to_owned())
            }
            Self::OneOf(words) if !words.contains(&text) => {
                Err(format!("must be one of {}", words.join(", ")))
            }
            Self::Roots if text != "system" => certificates(text),
            Self::Text | Self::Number | Self::OneOf(_) | Self::Roots => Ok(()),
        }
    }
}

fn certificates(file: &str) -> Result<(), String> {
    match CertificateDer::pem_file_iter(file).map(|mut found| found.next()) {
        Ok(Some(Ok(_))) => Ok(()),
        Ok(None) => Err("names a file that holds no certificate".to_owned()),
        Ok(Some(Err(error))) | Err(error) => Err(format!("names a file that cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use deadpool_redis::redis::IntoConnectionInfo;
    use lapin::uri::AMQPUri;

    use super::*;

    #[test]
    fn drivers_accept_valid_addresses() {
        for url in [
            "postgres://u:p%40%2F%3F@host/db",
            "postgresql://u@[::1]:5432/my%20db?application_name=x&target_session_attrs=read-write",
            "postgres://u@h/db?options=-c%20search_path%3Dx&channel_binding=prefer&sslmode=require",
        ] {
            POSTGRES.check(url).unwrap();
            url.parse::<tokio_postgres::Config>().unwrap();
        }
        POSTGRES.check("postgres://u@h/db?sslmode=verify-full&sslrootcert=system").unwrap();
        for url in ["redis://host", "rediss://u:p@host:6379/15", "redis://:p@h/?protocol=resp3"] {
            REDIS.check(url).unwrap();
            url.into_connection_info().unwrap();
        }
        for url in ["amqp://host", "amqps://u:p@host:5671/%2f?heartbeat=10&frame_max=0&channel_max=5"] {
            AMQP.check(url).unwrap();
            url.parse::<AMQPUri>().unwrap();
        }
    }

    #[test]
    fn a_mistake_contains_no_part_of_the_address() {
        for (grammar, url, rule) in [
            (&POSTGRES, "postgres://u:hunter2@/db", "must name a host"),
            (&POSTGRES, "postgres://u:hunter2@h:0/db", "must have a port from 1 to 65535, or none"),
            (&POSTGRES, "postgres://u:hunter2@h:99999/db", "is no address"),
            (&POSTGRES, "postgres://u:hunter/2@h/db", "is no address"),
            (&POSTGRES, "postgres://u:1/2@h/db", "must have its password percent-encoded"),
            (&POSTGRES, "postgres://u:2?hunter2@h/db", "must have its password percent-encoded"),
            (&POSTGRES, "postgres://u@h/a/b", "must have one name after the host"),
            (&POSTGRES, "postgres://u@h/db?sslmode=full", "sslmode must be one of disable, allow, prefer"),
            (&POSTGRES, "postgres://u@h/db?hunter2=1", "has an unknown parameter; known are sslmode, "),
            (&POSTGRES, "postgres://u@h/db?sslmode=allow&sslmode=allow", "has the parameter sslmode twice"),
            (
                &POSTGRES,
                "postgres://u@h/db?sslrootcert=/no/such",
                "sslrootcert names a file that cannot be used",
            ),
            (&POSTGRES, "postgres://u@h/db#x", "must not hold #"),
            (&REDIS, "redis://h/cache", "must have a database's number after the host, or nothing"),
            (&REDIS, "redis:h", "must begin with redis:// or rediss://"),
            (&REDIS, "redis://h/0?db=2", "has an unknown parameter; known are protocol"),
            (&AMQP, "amqp://u:hunter2@h//", "must have one name after the host"),
            (&AMQP, "amqp://h/v?heartbeat=soon", "heartbeat must be a whole number from 0 to 65535"),
        ] {
            let checked = grammar.check(url);
            assert!(checked.is_err(), "{url}");
            let mistake = checked.unwrap_err();
            assert!(mistake.starts_with(rule), "{url}: {mistake}");
            assert!(!mistake.contains("hunter"), "{url}: {mistake}");
        }
    }
}
