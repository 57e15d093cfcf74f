//! What the service is told by its environment.

use chassis::config::{Amqp, Database, Encryption, Reader, Redis};
use ipnet::IpNet;

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    pub(crate) database: Database,
    pub(crate) amqp: Amqp,
    /// Where replicas share rate limits.
    pub(crate) redis: Option<Redis>,
    pub(crate) encryption: Encryption,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) allow_http: bool,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let networks = reader.optional_text(
            "WEBHOOK_ALLOWED_NETWORKS",
            "Private networks receivers may live in, as CIDR, separated by commas; for development.",
        );
        let mut allowed_networks = Vec::new();
        for text in networks.iter().flat_map(|networks| networks.split(',')) {
            match text.trim().parse() {
                Ok(network) => allowed_networks.push(network),
                Err(_no_network) => {
                    let mistake = format!("{text:?} is no network; write 10.0.0.0/8,127.0.0.0/8");
                    reader.mistake("WEBHOOK_ALLOWED_NETWORKS", mistake);
                }
            }
        }
        Self {
            database: reader.database(),
            amqp: reader.amqp(),
            redis: reader.optional_redis(),
            encryption: reader.encryption(),
            allowed_networks,
            allow_http: reader.flag(
                "WEBHOOK_ALLOW_HTTP",
                false,
                "Whether receivers may be reached without TLS; for development.",
            ),
        }
    }
}
