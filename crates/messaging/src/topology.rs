//! What stands in RabbitMQ, declared by whoever needs it. Declaring again what is there changes nothing.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use crate::Error;

/// The topic exchange every fact goes through; its routing key is the event's type.
pub(crate) const EXCHANGE: &str = "zaplecze.events";

/// Redeliveries after which the broker itself sets a message aside. Failures are counted by the consumer; this
/// stops only what kills its consumer every time, so it is far above any number of honest restarts.
const DELIVERY_LIMIT: i32 = 200;

/// Where a message that failed waits before it comes again.
pub(crate) const RETRY_DELAYS: [(&str, Duration); 3] =
    [("5s", Duration::from_secs(5)), ("1m", Duration::from_mins(1)), ("10m", Duration::from_mins(10))];

/// The names of one service's queues.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) main: String,
    pub(crate) dead: String,
}

impl Queues {
    pub(crate) fn of(service: &str) -> Self {
        Self { main: format!("{service}.events"), dead: format!("{service}.events.dead") }
    }

    pub(crate) fn retry(&self, delay: &str) -> String {
        format!("{}.retry.{delay}", self.main)
    }

    /// Declares the queues and binds the main one to the event types (or patterns) wanted.
    pub(crate) async fn declare(&self, channel: &Channel, bindings: &[&str]) -> Result<(), Error> {
        declare_exchange(channel).await?;
        queue(channel, &self.dead, []).await?;
        let limit = ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT));
        queue(channel, &self.main, [limit].into_iter().chain(dead_letters_to(&self.dead))).await?;
        for (name, delay) in RETRY_DELAYS {
            let ttl = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
            let waiting = [("x-message-ttl", AMQPValue::LongInt(ttl))];
            queue(channel, &self.retry(name), waiting.into_iter().chain(dead_letters_to(&self.main))).await?;
        }
        for pattern in bindings {
            channel
                .queue_bind(
                    self.main.as_str().into(),
                    EXCHANGE.into(),
                    (*pattern).into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        Ok(())
    }
}

pub(crate) async fn declare_exchange(channel: &Channel) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
    Ok(())
}

/// At-least-once dead-lettering: a message leaves its queue only when the next one has confirmed it. It needs
/// `reject-publish` (RabbitMQ's documentation of quorum queues).
fn dead_letters_to(queue: &str) -> [(&'static str, AMQPValue); 4] {
    [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: impl IntoIterator<Item = (&'static str, AMQPValue)>,
) -> Result<(), Error> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, table).await?;
    Ok(())
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.as_bytes()))
}
