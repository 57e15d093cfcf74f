//! The resolver of the guard: connections use only the addresses that it has checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Guard, Lookup, Refused};

/// Maximum time for which an answer is cached, so that a receiver with a new address is found.
const BELIEVED: Duration = Duration::from_mins(1);
/// Maximum time for which the absence of a name is cached.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Timeout and attempts of a query to one name server: together less than the time limit of any request.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// Maximum number of concurrent queries to one name server.
const QUESTIONS: usize = 256;

/// Resolves names to permitted addresses only. Connections use only these addresses. Cheap to clone. Clones share their
/// cache.
#[derive(Clone)]
pub struct Resolver {
    guard: Guard,
    names: TokioResolver,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// The reason why the resolver cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("names cannot be looked up: the system's name servers are not known")]
pub struct ResolverError(#[from] NetError);

impl Resolver {
    /// A resolver that uses these name servers, or those of the system if the list is empty.
    ///
    /// # Errors
    /// The system's name servers cannot be read.
    pub fn new(guard: Guard, name_servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let mut builder = if name_servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = name_servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        // All addresses of a name are checked: one that is not permitted rejects the name.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = QUERY_TIMEOUT;
        options.attempts = TRIES;
        options.max_active_requests = QUESTIONS;
        options.positive_max_ttl = Some(BELIEVED);
        options.negative_max_ttl = Some(UNKNOWN);
        if !name_servers.is_empty() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        Ok(Self { guard, names: builder.build()? })
    }

    /// The addresses of a name, all of them permitted.
    ///
    /// # Errors
    /// The name has no address, the lookup failed, or an address is not permitted while none of them is of an explicitly
    /// allowed network.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, Refused> {
        // The final dot makes the name complete, so that no search domain of our own network is appended.
        let complete = format!("{}.", name.trim_end_matches('.'));
        let found = self.names.lookup_ip(complete).await.map_err(|error| not_found(name, error))?;
        let found: Vec<IpAddr> = found.iter().collect();
        if found.is_empty() {
            return Err(Refused::Unknown(name.to_owned()));
        }
        let is_vouched_for = found.iter().any(|address| self.guard.is_allowed(*address));
        let (permitted, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.guard.check_address(*address).is_ok());
        if permitted.is_empty() || (!refused.is_empty() && !is_vouched_for) {
            return Err(Refused::Name(name.to_owned()));
        }
        // The caller sets the port.
        Ok(permitted.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

fn not_found(name: &str, error: NetError) -> Refused {
    let name = name.to_owned();
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => Refused::Unknown(name),
        NetError::Timeout => Refused::Unanswered(name),
        NetError::Dns(DnsError::ResponseCode(code)) => {
            let answer = match code {
                ResponseCode::ServFail => "SERVFAIL".to_owned(),
                ResponseCode::Refused => "REFUSED".to_owned(),
                other => other.to_string(),
            };
            Refused::LookupFailed { name, reason: format!("the name server answered {answer}") }
        }
        other => Refused::LookupFailed { name, reason: other.to_string() },
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, under_way) = (self.clone(), Lookup::begin());
        Box::pin(async move {
            let _until_it_ends = under_way;
            let addresses: Addrs = Box::new(resolver.addresses(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}
