//! Errors of the messaging crate.

/// An operation failed at RabbitMQ, or at Postgres on its behalf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection URL is malformed. The error names the part, never the password.
    #[error("the RabbitMQ URL is malformed: {0}")]
    Url(String),
    /// No answer within the time limit.
    #[error("RabbitMQ did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The broker rejected the operation, or the connection broke.
    #[error("RabbitMQ failed")]
    Broker(#[from] lapin::Error),
    /// The broker ended the consumer, for example because its queue was deleted.
    #[error("RabbitMQ ended the consumer")]
    ConsumerEnded,
    /// The broker did not accept a message.
    #[error("RabbitMQ did not accept a message for {0}")]
    NotTaken(String),
    /// A queue exists with other arguments. The broker does not change them.
    #[error(
        "queue {0} exists with different arguments: move its messages elsewhere and delete it; it is then declared again"
    )]
    OtherQueue(String),
    /// A statement on the outbox failed.
    #[error("the outbox failed")]
    Outbox(#[from] tokio_postgres::Error),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// Code that used the connection panicked.
    #[error(transparent)]
    Panicked(#[from] domain::Panic),
}
