//! The topology of RabbitMQ as plain data, from which services declare it and documents are generated.

use std::time::Duration;

use serde::Serialize;

/// The topic exchange of all events. The routing key is the event's type.
pub const EXCHANGE: &str = "zaplecze.events";

/// The delays of the retry queues.
pub const RETRY_DELAYS: [(&str, Duration); 3] =
    [("5s", Duration::from_secs(5)), ("1m", Duration::from_mins(1)), ("10m", Duration::from_mins(10))];

/// Delivery limit of the broker. The consumer counts failures itself. This limit only stops a message that kills its
/// consumer each time, so that it is far above any usual number of restarts.
const DELIVERY_LIMIT: i32 = 200;
/// Unlimited deliveries, for a dead queue: listing its messages returns each of them to the queue, and a message over
/// the limit would be deleted. RabbitMQ 3 has no value for "unlimited", and 4 has another default than 3.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// A service that consumes events.
#[derive(Debug, Clone, Copy)]
pub struct Subscriber {
    /// The service's name; its queue is `<service>.events`.
    pub service: &'static str,
    /// Event types, or topic patterns (`order.*`, `#`).
    pub bindings: &'static [&'static str],
    /// Whether one replica consumes at a time: events are then applied in order, and another replica continues when it
    /// ends.
    pub is_in_order: bool,
}

/// Delivers every event, in order if a subscription requires it.
pub const WEBHOOK_DISPATCHER: Subscriber =
    Subscriber { service: "webhook-dispatcher", bindings: &["#"], is_in_order: true };

/// Deducts and refunds the units of orders, and adds receipts of production.
pub const STOCK_SYNC: Subscriber = Subscriber {
    service: "stock-sync",
    bindings: &["account.connected", "order.ready", "order.cancelled", "batch.closed"],
    is_in_order: false,
};

/// All our services that consume events.
pub const SUBSCRIBERS: &[Subscriber] = &[WEBHOOK_DISPATCHER, STOCK_SYNC];

/// The role of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The main queue, which is consumed.
    Main,
    /// A retry queue, by the name of its delay.
    Retry(&'static str),
    /// The dead queue.
    Dead,
}

/// The value of a queue argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// A string.
    Text(String),
    /// An integer.
    Number(i32),
    /// A boolean.
    Flag(bool),
}

/// A durable queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The arguments of its declaration. The broker rejects a queue that exists with other arguments.
    pub arguments: Vec<(&'static str, Argument)>,
}

impl Role {
    /// The name of a service's queue with this role.
    pub fn queue_of(self, service: &str) -> String {
        match self {
            Self::Main => format!("{service}.events"),
            Self::Retry(delay) => format!("{service}.events.retry.{delay}"),
            Self::Dead => format!("{service}.events.dead"),
        }
    }

    /// A short name for metrics. A retry queue has the name of its delay.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Retry(delay) => delay,
            Self::Dead => "dead",
        }
    }
}

/// A service's queues in the order of their declaration: a queue follows the queue to which its messages are
/// dead-lettered.
pub fn queues(subscriber: Subscriber) -> Vec<Queue> {
    let service = subscriber.service;
    let queue = |role: Role, arguments: Vec<(&'static str, Argument)>| {
        let kind = ("x-queue-type", text("quorum"));
        Queue { name: role.queue_of(service), role, arguments: [vec![kind], arguments].concat() }
    };
    let limit = |limit| ("x-delivery-limit", Argument::Number(limit));
    let mut all = vec![queue(Role::Dead, vec![limit(NO_DELIVERY_LIMIT)])];
    let mut main = [vec![limit(DELIVERY_LIMIT)], dead_letters_to(&Role::Dead.queue_of(service))].concat();
    if subscriber.is_in_order {
        main.push(("x-single-active-consumer", Argument::Flag(true)));
    }
    all.push(queue(Role::Main, main));
    for (name, delay) in RETRY_DELAYS {
        let ttl = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
        let waiting = vec![limit(NO_DELIVERY_LIMIT), ("x-message-ttl", Argument::Number(ttl))];
        let back = dead_letters_to(&Role::Main.queue_of(service));
        all.push(queue(Role::Retry(name), [waiting, back].concat()));
    }
    all
}

/// At-least-once dead-lettering: a message leaves its queue only when the next one has confirmed it. It needs
/// `reject-publish` (RabbitMQ's documentation of quorum queues).
fn dead_letters_to(queue: &str) -> Vec<(&'static str, Argument)> {
    vec![
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}
