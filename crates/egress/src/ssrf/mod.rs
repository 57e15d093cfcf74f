//! The guard against requests to our own networks (server-side request forgery).
//!
//! An address from outside may be a private one, a name that resolves to one, or a name that resolves to a public
//! address when it is checked and to a private one when it is connected to. The guard therefore checks both the literal
//! in the URL and, in the connection's own resolver, every resolved address.

mod addresses;
mod lookup;
mod resolver;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

pub use lookup::Lookup;
pub use resolver::{Resolver, ResolverError};

/// Usual ports of receivers.
pub const USUAL_PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// Permissions in addition to public addresses over TLS.
#[derive(Debug, Default)]
pub struct Rules {
    /// Private networks that may be called. A literal address in them may have any port.
    pub allowed_networks: Vec<IpNet>,
    /// Whether receivers without TLS may be called.
    pub allow_http: bool,
    /// The permitted ports of all other addresses.
    pub ports: Vec<u16>,
}

/// Decides which addresses may be called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rules>);

/// The reason why an address must not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither https nor, if permitted, http.
    #[error("the scheme {0:?} is not allowed; use https")]
    Scheme(String),
    /// Credentials in the URL.
    #[error("a URL must not hold a user name or password")]
    UserInfo,
    /// The URL has no host.
    #[error("the URL has no host")]
    NoHost,
    /// A port that receivers of webhooks do not use.
    #[error("port {0} is not allowed")]
    Port(u16),
    /// An address of a private or special network.
    #[error("the address {0} belongs to a private or special network")]
    Address(IpAddr),
    /// The name resolves to an address that is not permitted.
    #[error("the name {0:?} resolves to a private or special network")]
    Name(String),
    /// The name does not exist (NXDOMAIN), or has no address.
    #[error("the name {0:?} has no address")]
    Unknown(String),
    /// No name server answered within the time limit.
    #[error("the name {0:?} was not looked up: no name server answered in time")]
    Unanswered(String),
    /// A name server answered with an error, or could not be reached.
    #[error("the name {name:?} was not looked up: {reason}")]
    LookupFailed {
        /// The name.
        name: String,
        /// The error of the name server, or the reason why it could not be reached.
        reason: String,
    },
}

impl Guard {
    /// A guard that permits public addresses, and those of these rules.
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }

    /// Checks everything in a URL that does not require a lookup.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.0.allow_http => {}
            other => return Err(Refused::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        // The parser has converted decimal, octal, hexadecimal and shortened forms to plain addresses (WHATWG URL).
        let literal: Option<IpAddr> = match url.host() {
            None => return Err(Refused::NoHost),
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let is_local = name == "localhost" || name.ends_with(".localhost");
                if is_local && !self.is_allowed(Ipv4Addr::LOCALHOST.into()) {
                    return Err(Refused::Name(name));
                }
                is_local.then_some(Ipv4Addr::LOCALHOST.into())
            }
        };
        if let Some(address) = literal {
            self.check_address(address)?;
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let in_allowed_network = literal.is_some_and(|address| self.is_allowed(address));
        if self.0.ports.contains(&port) || in_allowed_network { Ok(()) } else { Err(Refused::Port(port)) }
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`Refused::Address`].
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if self.is_allowed(address) || addresses::is_public(address) {
            Ok(())
        } else {
            Err(Refused::Address(address))
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.0.allowed_networks.iter().any(|network| network.contains(&address))
    }
}
