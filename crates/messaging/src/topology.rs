//! Declares the exchange, queues and bindings in RabbitMQ. A repeated declaration changes nothing.

use domain::topology::{self, Argument, EXCHANGE, Role, Subscriber};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use crate::Error;
use crate::broker::TIMEOUT;

/// Declares a service's queues and binds the main one to its event types (or patterns).
pub(crate) async fn declare(channel: &Channel, subscriber: Subscriber) -> Result<(), Error> {
    declare_exchange(channel).await?;
    for queue in topology::queues(subscriber) {
        let mut arguments = FieldTable::default();
        for (key, value) in queue.arguments {
            arguments.insert(key.into(), amqp(&value));
        }
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.name.as_str().into(), options, arguments).await;
        declared
            .map_err(|error| if is_other(&error) { Error::OtherQueue(queue.name) } else { error.into() })?;
    }
    let main = Role::Main.queue_of(subscriber.service);
    for pattern in subscriber.bindings {
        channel
            .queue_bind(
                main.as_str().into(),
                EXCHANGE.into(),
                (*pattern).into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

pub(crate) async fn declare_exchange(channel: &Channel) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
    Ok(())
}

/// Number of ready messages in a queue. A missing queue is an error and closes the channel.
pub(crate) async fn depth(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(queue.into(), passive, FieldTable::default());
    let answer = timeout(TIMEOUT, asked).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))??;
    Ok(answer.message_count())
}

/// Whether the broker rejected the operation, so that a retry cannot help.
pub(crate) fn is_refusal(error: &Error) -> bool {
    match error {
        Error::OtherQueue(_) => true,
        Error::Broker(error) => {
            matches!(error.kind(), ErrorKind::ProtocolError(refusal)
                if matches!(refusal.kind(), AMQPErrorKind::Soft(_)))
        }
        _ => false,
    }
}

/// Whether a declaration was rejected because the queue exists with other arguments.
fn is_other(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(refusal)
        if *refusal.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}

fn amqp(value: &Argument) -> AMQPValue {
    match value {
        Argument::Text(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        Argument::Number(number) => AMQPValue::LongInt(*number),
        Argument::Flag(flag) => AMQPValue::Boolean(*flag),
    }
}
