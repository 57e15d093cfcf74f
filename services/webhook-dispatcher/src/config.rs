//! What the service is told by its environment.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use chassis::config::{Reader, Redis};
use egress::ssrf::{Rules, USUAL_PORTS};
use runtime::ServiceConfig;

use crate::domain::pattern::is_type;

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    /// Where replicas share rate limits.
    pub(crate) redis: Option<Redis>,
    /// Who may be called.
    pub(crate) rules: Rules,
    /// Who is asked for receivers' addresses; the system's name servers when there is none.
    pub(crate) name_servers: Vec<SocketAddr>,
    pub(crate) outside_types: Vec<String>,
    pub(crate) keep: Keep,
    pub(crate) workers: usize,
    /// The most deliveries of one endpoint that are sent and not yet recorded.
    pub(crate) max_window: usize,
}

/// The ages at which rows are deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) payloads: Duration,
    pub(crate) attempts: Duration,
    pub(crate) deliveries: Duration,
}

impl ServiceConfig for Config {
    fn read(reader: &mut Reader) -> Self {
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
            max_window: reader.number(
                "WEBHOOK_MAX_WINDOW",
                128,
                1..=1024,
                "Deliveries to one endpoint that may be sent and not yet recorded while it answers at once (8 at rest): a \
                 kill repeats no more.",
            ),
            redis: reader.optional_redis(),
            rules: Rules {
                allowed_networks: list(
                    reader,
                    "WEBHOOK_ALLOWED_NETWORKS",
                    "no network; write 10.0.0.0/8,127.0.0.0/8",
                    "Private networks receivers may live in, as CIDR, separated by commas; for development.",
                )
                .unwrap_or_default(),
                allow_http: reader.flag(
                    "WEBHOOK_ALLOW_HTTP",
                    false,
                    "Whether receivers may be reached without TLS; for development.",
                ),
                ports: list(
                    reader,
                    "WEBHOOK_ALLOWED_PORTS",
                    "no port; write 443,8443",
                    "Ports receivers may listen on outside the allowed networks, separated by commas; 80, 443, 8080 and \
                     8443 when absent.",
                )
                .unwrap_or_else(|| USUAL_PORTS.to_vec()),
            },
            name_servers: list(
                reader,
                "WEBHOOK_NAME_SERVERS",
                "no name server; write 10.0.0.2:53,10.0.0.3:53",
                "Name servers asked for receivers' addresses, separated by commas; the system's when absent.",
            )
            .unwrap_or_default(),
        }
    }

    fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }
}

/// A name, or the beginning of names: never everything, which would take in our own.
fn is_allowed(pattern: &str) -> bool {
    is_type(pattern) || pattern.strip_suffix(".*").is_some_and(|noun| is_type(&format!("{noun}.x")))
}

/// Values separated by commas; none when the setting is absent.
fn list<T: FromStr>(
    reader: &mut Reader,
    name: &'static str,
    rule: &str,
    meaning: &'static str,
) -> Option<Vec<T>> {
    let given = reader.optional_text(name, meaning)?;
    let mut values = Vec::new();
    for text in given.split(',') {
        match text.trim().parse() {
            Ok(value) => values.push(value),
            Err(_malformed) => reader.mistake(name, format!("{text:?} is {rule}")),
        }
    }
    Some(values)
}
