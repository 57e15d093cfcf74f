//! Settings of the HTTP server.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::reader::Reader;
use super::tls::Tls;

/// Default address of the server.
const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Upper limit of all quotas and bursts.
const MAX_RATE: u32 = 1_000_000;

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The address the server binds to.
    pub host: IpAddr,
    /// 0 selects a free port.
    pub port: u16,
    /// The port that alone serves probes and metrics. `None`: `port` serves them too.
    pub internal_port: Option<u16>,
    /// The rate limit of callers.
    pub rate_limit: RateLimit,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    /// How long the process continues after SIGTERM while `/readyz` answers 503.
    pub shutdown_delay: Duration,
    /// How long work in flight may take to finish after that.
    pub shutdown_drain: Duration,
}

/// The rate limit of one caller. 0 disables it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
    /// Requests a minute of credentials with the scope `service`.
    pub service_per_minute: u32,
}

impl Reader {
    /// `API_HOST`, `API_PORT`, `INTERNAL_PORT`, `RATE_LIMIT_…`, `API_TLS_…`, `SHUTDOWN_…`.
    pub(crate) fn http(&mut self, default_port: u16) -> Http {
        let host = self.parsed(
            "API_HOST",
            "IP address",
            DEFAULT_HOST,
            "Address the HTTP server listens on.",
            |text| text.parse().ok().ok_or_else(|| "must be an IPv4 or IPv6 address".to_owned()),
        );
        let meaning = "Port the HTTP server listens on; 0 is any free one.";
        let port = self.number("API_PORT", default_port, 0..=u16::MAX, meaning);
        Http {
            host,
            port,
            internal_port: self.internal_port(port),
            rate_limit: self.rate_limit(),
            tls: self.tls(),
            shutdown_delay: self.seconds(
                "SHUTDOWN_DELAY_SECONDS",
                5,
                0..=600,
                "How long a process with the role `api` keeps working after SIGTERM while `/readyz` answers 503, so that load \
                 balancers notice before the port is closed.",
            ),
            shutdown_drain: self.seconds(
                "SHUTDOWN_DRAIN_SECONDS",
                25,
                1..=600,
                "How long work in flight may take to finish after the delay. An orchestrator must wait longer than both before it kills the process.",
            ),
        }
    }

    fn internal_port(&mut self, port: u16) -> Option<u16> {
        let internal = self.optional_number(
            "INTERNAL_PORT",
            0..=u16::MAX,
            "Port on which alone probes and metrics are served; 0 is any free one.",
        );
        if internal.is_some_and(|internal| internal == port && port != 0) {
            self.mistake("INTERNAL_PORT", "must differ from API_PORT");
        }
        internal
    }

    fn rate_limit(&mut self) -> RateLimit {
        RateLimit {
            per_minute: self.number(
                "RATE_LIMIT_PER_MINUTE",
                600,
                0..=MAX_RATE,
                "Requests a caller may make a minute; 0 is no limit.",
            ),
            burst: self.number(
                "RATE_LIMIT_BURST",
                100,
                1..=MAX_RATE,
                "Requests a caller may make at once after a pause.",
            ),
            service_per_minute: self.number(
                "RATE_LIMIT_SERVICE_PER_MINUTE",
                0,
                0..=MAX_RATE,
                "Requests a minute of a credential with the scope `service`; 0 is no limit.",
            ),
        }
    }
}
