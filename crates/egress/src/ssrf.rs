//! The guard against requests to our own networks (server-side request forgery).
//!
//! An address from outside may be a private one, a name that resolves to one, or a name that resolves to a public
//! address when it is checked and to a private one when it is connected to. So the check stands at two doors: the
//! URL's own literal, and the resolver the connection itself uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Ports a webhook may use where the network is not explicitly allowed.
const PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// Who may be called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    allowed: Vec<IpNet>,
    allow_http: bool,
}

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither https nor, where allowed, http.
    #[error("the scheme {0:?} is not allowed; use https")]
    Scheme(String),
    /// Credentials in the URL.
    #[error("a URL must not hold a user name or password")]
    UserInfo,
    /// No host at all.
    #[error("the URL has no host")]
    NoHost,
    /// A port nobody serves webhooks on.
    #[error("port {0} is not allowed")]
    Port(u16),
    /// An address of a private or special network.
    #[error("the address {0} belongs to a private or special network")]
    Address(IpAddr),
    /// The name has no address, or none that is permitted.
    #[error("the name {0:?} has no permitted address")]
    Name(String),
}

impl Guard {
    /// A guard that permits public addresses, and besides them the `allowed` networks on any port.
    pub fn new(allowed: Vec<IpNet>, allow_http: bool) -> Self {
        Self(Arc::new(Rules { allowed, allow_http }))
    }

    /// Checks all of a URL that can be checked without looking up its name.
    ///
    /// # Errors
    /// The first rule the URL breaks.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.0.allow_http => {}
            other => return Err(Refused::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        // The parser has turned decimal, octal, hexadecimal and shortened forms into plain addresses (WHATWG URL).
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
        if PORTS.contains(&port) || in_allowed_network { Ok(()) } else { Err(Refused::Port(port)) }
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`Refused::Address`].
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if self.is_allowed(address) || is_public(address) { Ok(()) } else { Err(Refused::Address(address)) }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.0.allowed.iter().any(|network| network.contains(&address))
    }
}

/// Looks names up and returns only permitted addresses; a connection goes to one of them and nowhere else.
pub(crate) struct GuardedResolver(Guard);

impl GuardedResolver {
    pub(crate) const fn new(guard: Guard) -> Self {
        Self(guard)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> =
                found.filter(|address| guard.check_address(address.ip()).is_ok()).collect();
            if permitted.is_empty() {
                return Err(Refused::Name(name.as_str().to_owned()).into());
            }
            let addresses: Addrs = Box::new(permitted.into_iter());
            Ok(addresses)
        })
    }
}

/// True for an address the public internet routes (IANA special-purpose registries, RFC 6890 and its updates).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one line per RFC reads better")]
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] // this network (RFC 791), private (RFC 1918), loopback (RFC 1122)
        | [169, 254, ..] // link-local and cloud metadata (RFC 3927)
        | [192, 168, ..] // private (RFC 1918)
        | [192, 0, 0 | 2, _] // protocol assignments (RFC 6890), documentation (RFC 5737)
        | [192, 88, 99, _] // 6to4 relays (RFC 7526)
        | [198, 18 | 19, ..] // benchmarks (RFC 2544)
        | [198, 51, 100, _] // documentation (RFC 5737)
        | [203, 0, 113, _] // documentation (RFC 5737)
        | [224..=255, ..] => true, // multicast (RFC 5771), reserved (RFC 1112), broadcast
        [172, second, ..] => (16..32).contains(&second), // private (RFC 1918)
        [100, second, ..] => (64..128).contains(&second), // carrier-grade NAT (RFC 6598)
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, .., seventh, eighth] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match first {
        // NAT64 (RFC 6052) leads to an IPv4 address; only the well-known prefix has it at the end.
        0x64 if second == 0xff9b && third == 0 => embedded(seventh, eighth),
        // 6to4 (RFC 3056) likewise.
        0x2002 => embedded(second, third),
        // Teredo and other protocol assignments (RFC 2928), documentation (RFC 3849, RFC 9637).
        0x2001 if second < 0x200 || second == 0xdb8 => false,
        0x3fff => second >= 0x1000,
        // Only global unicast is routed (RFC 4291): this leaves out loopback, mapped IPv4, unique local,
        // link-local and multicast.
        _ => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use url::Url;

    use super::{Guard, Refused};

    fn check(guard: &Guard, url: &str) -> Result<(), Refused> {
        guard.check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn private_and_special_addresses_are_refused_however_they_are_written() {
        let guard = Guard::new(Vec::new(), true);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[2002:a00:1::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff:1::1]",
            "①②⑦.0.0.1",
        ] {
            let refused = check(&guard, &format!("http://{host}/hook"));
            assert!(matches!(refused, Err(Refused::Address(_))), "{host}: {refused:?}");
        }
        for name in ["localhost", "LOCALHOST.", "a.localhost"] {
            assert!(matches!(check(&guard, &format!("http://{name}/")), Err(Refused::Name(_))), "{name}");
        }
    }

    #[test]
    fn public_addresses_and_names_pass() {
        let guard = Guard::new(Vec::new(), false);
        for host in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:4700::1111]",
            "[64:ff9b::808:808]",
            "shop.example",
        ] {
            assert_eq!(check(&guard, &format!("https://{host}/hook")), Ok(()), "{host}");
        }
    }

    #[test]
    fn schemes_ports_and_credentials_are_checked() {
        let guard = Guard::new(Vec::new(), false);
        assert_eq!(check(&guard, "http://shop.example/"), Err(Refused::Scheme("http".to_owned())));
        assert_eq!(check(&guard, "ftp://shop.example/"), Err(Refused::Scheme("ftp".to_owned())));
        assert_eq!(check(&guard, "https://a:b@shop.example/"), Err(Refused::UserInfo));
        assert_eq!(check(&guard, "https://shop.example:22/"), Err(Refused::Port(22)));
        assert_eq!(check(&guard, "https://shop.example:8443/"), Ok(()));
    }

    #[test]
    fn an_allowed_network_is_open_on_every_port_and_nothing_else_is() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()], true);
        assert_eq!(check(&guard, "http://127.0.0.1:41234/hook"), Ok(()));
        assert_eq!(check(&guard, "http://localhost:41234/hook"), Ok(()));
        assert_eq!(check(&guard, "http://10.0.0.1/"), Err(Refused::Address([10, 0, 0, 1].into())));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let settings = crate::Settings {
            user_agent: "test".to_owned(),
            connect_timeout: std::time::Duration::from_secs(2),
            timeout: std::time::Duration::from_secs(2),
        };
        let client = crate::guarded_client(&settings, &Guard::new(Vec::new(), true)).unwrap();
        let request = client.get(format!("http://localhost:{port}/")).build().unwrap();
        let error = client.execute(request).await.unwrap_err();
        assert!(
            format!("{error:?}").contains("no permitted address") || format!("{error:?}").contains("Name("),
            "{error:?}"
        );
    }
}
