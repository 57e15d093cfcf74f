//! What can go wrong between us and the broker.

/// A failed conversation with RabbitMQ, or with Postgres on its behalf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection URL is malformed. The text names the part, never the password.
    #[error("the RabbitMQ URL is malformed: {0}")]
    Url(String),
    /// No answer in time.
    #[error("RabbitMQ did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The broker refused, or the connection broke.
    #[error("RabbitMQ failed")]
    Broker(#[from] lapin::Error),
    /// The broker ended the consumer, as it does when its queue goes away.
    #[error("RabbitMQ ended the consumer")]
    ConsumerEnded,
    /// The broker did not take a message that it must keep.
    #[error("RabbitMQ did not take a message for {0}")]
    NotTaken(String),
    /// A queue stands there with other arguments than ours, and the broker keeps it so.
    #[error(
        "the queue {0} exists with other arguments than it needs: move its messages elsewhere and delete it, and it is declared anew"
    )]
    OtherQueue(String),
    /// The outbox could not be read or written.
    #[error("the outbox failed")]
    Outbox(#[from] tokio_postgres::Error),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// Code that used the connection panicked.
    #[error(transparent)]
    Panicked(#[from] domain::Panic),
}
