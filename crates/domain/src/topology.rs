//! What stands in RabbitMQ, as plain data: the services declare it, the documents show it.

use std::time::Duration;

use serde::Serialize;

/// The topic exchange every fact goes through; its routing key is the event's type.
pub const EXCHANGE: &str = "zaplecze.events";

/// Where a message that failed waits before it comes again.
pub const RETRY_DELAYS: [(&str, Duration); 3] =
    [("5s", Duration::from_secs(5)), ("1m", Duration::from_mins(1)), ("10m", Duration::from_mins(10))];

/// Redeliveries after which the broker itself sets a message aside. Failures are counted by the consumer; this
/// stops only what kills its consumer every time, so it is far above any number of honest restarts.
const DELIVERY_LIMIT: i32 = 200;
/// Where a redelivery is nobody's fault: a message looked at in the dead queue goes back to it each time, and one over
/// the limit would be thrown away. RabbitMQ 3 has no word for "none" and 4 has another default than 3.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// A service that wants to be told facts.
#[derive(Debug, Clone, Copy)]
pub struct Subscriber {
    /// The service's name; its queue is `<service>.events`.
    pub service: &'static str,
    /// Event types, or topic patterns (`order.*`, `#`).
    pub bindings: &'static [&'static str],
    /// Whether one of its replicas consumes at a time: facts are then taken in in the order in which they were told, and
    /// another goes on where it ends.
    pub is_in_order: bool,
}

/// Delivers every fact that is told; in their order where a subscription wants it.
pub const WEBHOOK_DISPATCHER: Subscriber =
    Subscriber { service: "webhook-dispatcher", bindings: &["#"], is_in_order: true };

/// Takes what is sold from the shelf, puts back what is cancelled, whatever comes first, and what was made onto it.
pub const STOCK_SYNC: Subscriber = Subscriber {
    service: "stock-sync",
    bindings: &["account.connected", "order.ready", "order.cancelled", "batch.closed"],
    is_in_order: false,
};

/// Every service of ours that wants to be told facts.
pub const SUBSCRIBERS: &[Subscriber] = &[WEBHOOK_DISPATCHER, STOCK_SYNC];

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Messages to be consumed.
    Main,
    /// Messages that failed and come again after a delay: its name.
    Retry(&'static str),
    /// Messages set aside.
    Dead,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A number.
    Number(i32),
    /// True or false.
    Flag(bool),
}

/// A durable queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What it is declared with; a queue that stands with other arguments is refused by the broker.
    pub arguments: Vec<(&'static str, Argument)>,
}

impl Role {
    /// The name of a service's queue of this role.
    pub fn queue_of(self, service: &str) -> String {
        match self {
            Self::Main => format!("{service}.events"),
            Self::Retry(delay) => format!("{service}.events.retry.{delay}"),
            Self::Dead => format!("{service}.events.dead"),
        }
    }

    /// A short word for it, as in metrics; a retry queue is called by its delay.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Retry(delay) => delay,
            Self::Dead => "dead",
        }
    }
}

/// A service's queues, in the order they are declared in: a queue comes after the one its messages go on to.
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
