//! The HTTP clients of deliveries.

use std::net::SocketAddr;
use std::time::Duration;

use egress::ssrf::{Guard, Resolver};
use egress::{Clients, Settings};

/// Time limit of an attempt, above the timeout of every subscription.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// Creates the clients, which resolve names with these name servers, or with the system's if there are none.
///
/// # Errors
/// The system's name servers or the TLS roots cannot be read.
pub(crate) fn clients(guard: &Guard, name_servers: &[SocketAddr]) -> anyhow::Result<Clients> {
    let settings = Settings {
        user_agent: concat!("Zaplecze-Webhooks/", env!("CARGO_PKG_VERSION")).to_owned(),
        connect_timeout: LONGEST_ATTEMPT,
        timeout: LONGEST_ATTEMPT,
    };
    Ok(Clients::new(settings, Resolver::new(guard.clone(), name_servers)?)?)
}
