//! What the service is told by its environment.

use std::time::Duration;

use chassis::config::{Amqp, Database, Encryption, Reader, Redis};
use ipnet::IpNet;

use crate::domain::pattern::is_type;
use crate::tasks::Keep;

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
    pub(crate) outside_types: Vec<String>,
    pub(crate) keep: Keep,
    pub(crate) workers: usize,
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
        let types = reader.text(
            "WEBHOOK_OUTSIDE_EVENTS",
            "custom.*",
            "Event types outside producers may tell through POST /api/v1/events: names or <noun>.*, separated by commas.",
        );
        let outside_types: Vec<String> = types.split(',').map(|it| it.trim().to_owned()).collect();
        for wrong in outside_types.iter().filter(|it| !is_allowed(it)) {
            let mistake = format!("{wrong:?} is no event type; write custom.*,erp.stock_counted");
            reader.mistake("WEBHOOK_OUTSIDE_EVENTS", mistake);
        }
        let mut days = |name, default, meaning| {
            let days: u32 = reader.number(name, default, 1..=3650, meaning);
            Duration::from_hours(24 * u64::from(days))
        };
        let keep = Keep {
            payloads: days(
                "WEBHOOK_PAYLOAD_DAYS",
                30,
                "How long the bodies of events are kept; what is kept no longer cannot be sent again.",
            ),
            attempts: days("WEBHOOK_ATTEMPT_DAYS", 30, "How long attempts are kept."),
            deliveries: days(
                "WEBHOOK_DELIVERY_DAYS",
                90,
                "How long deliveries are kept; their totals are kept for ever.",
            ),
        };
        Self {
            outside_types,
            keep,
            workers: reader.number(
                "WEBHOOK_TASK_WORKERS",
                4,
                1..=64,
                "Tasks at once: replays and cleaning up.",
            ),
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

/// A name, or the beginning of names: never everything, which would take in our own.
fn is_allowed(pattern: &str) -> bool {
    is_type(pattern) || pattern.strip_suffix(".*").is_some_and(|noun| is_type(&format!("{noun}.x")))
}
