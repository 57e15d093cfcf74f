//! Lists, requeues and deletes dead-lettered messages.
//!
//! Messages are read without acknowledgement, and then returned in their old order: by us or, if the process dies, by
//! the end of the channel. Meanwhile no other command sees them. The consumer is not affected.

mod command;
mod letter;

use domain::topology::Role;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions};
use lapin::{Acker, Channel, PublisherConfirm};
use time::OffsetDateTime;
use tokio::time::timeout;

pub use command::{CommandError, DeadCommand};
pub use letter::DeadLetter;

use crate::broker::{self, TIMEOUT};
use crate::{Broker, Error, topology};

/// Maximum number of unconfirmed publishes.
const WINDOW: usize = 200;

/// Delivery tag that means all unacknowledged messages (AMQP 0-9-1, basic.nack).
const EVERYTHING: u64 = 0;

/// The messages that a command applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The message with this id.
    One(String),
    /// Messages of this event type.
    OfType(String),
    /// All messages that are present when the command begins.
    All,
}

/// The dead queue of one service.
#[derive(Debug)]
pub struct DeadLetters {
    broker: Broker,
    dead: String,
    main: String,
}

/// Result of a requeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued {
    /// Number of messages returned to the main queue.
    pub count: usize,
    /// Number of messages skipped because they are older than the inbox's retention.
    pub left: usize,
}

/// Messages that are published to the main queue and not yet confirmed.
#[derive(Default)]
struct Window(Vec<(PublisherConfirm, Acker)>);

impl Selection {
    fn matches(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::One(id) => letter.id == *id,
            Self::OfType(kind) => letter.kind.as_deref() == Some(kind),
            Self::All => true,
        }
    }
}

impl DeadLetters {
    /// The dead queue of the named service.
    pub fn new(broker: Broker, service: &str) -> Self {
        Self { broker, dead: Role::Dead.queue_of(service), main: Role::Main.queue_of(service) }
    }

    /// Number of messages, except those that another command is reading.
    ///
    /// # Errors
    /// The broker cannot be reached, or the service never declared its queues.
    pub async fn count(&self) -> Result<u32, Error> {
        topology::depth(&self.broker.channel().await?, &self.dead).await
    }

    /// At most `limit` of the selected messages, oldest first. They remain in the queue.
    ///
    /// # Errors
    /// The broker cannot be reached, or the service never declared its queues.
    pub async fn find(&self, selection: &Selection, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        let channel = self.broker.channel().await?;
        self.visit_all(&channel, async |letter, _acker| {
            if found.len() < limit && selection.matches(&letter) {
                found.push(letter);
            }
            Ok(())
        })
        .await?;
        return_unacknowledged(&channel).await?;
        Ok(found)
    }

    /// Returns messages to the main queue, with a new count of attempts. A message leaves the dead queue when its copy
    /// is confirmed. A crash in between leaves both, and the inbox ignores the second one.
    ///
    /// Events older than the inbox's retention are skipped, because they may have been applied and the inbox would not
    /// detect it. `past_retention` includes them.
    ///
    /// # Errors
    /// The broker cannot be reached, or does not accept a message, which then remains.
    pub async fn requeue(&self, selection: &Selection, past_retention: bool) -> Result<Requeued, Error> {
        let now = OffsetDateTime::now_utc();
        let channel = self.broker.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (mut window, mut count, mut left) = (Window::default(), 0, 0);
        self.visit_all(&channel, async |letter, acker| {
            if !selection.matches(&letter) {
                return Ok(());
            }
            if !past_retention && letter.is_past_retention(now) {
                left += 1;
                return Ok(());
            }
            let published =
                broker::publish(&channel, &self.main, &letter.body, letter.requeued_properties()).await?;
            window.0.push((published, acker));
            if window.0.len() == WINDOW {
                count += window.settle(&self.main).await?;
            }
            Ok(())
        })
        .await?;
        count += window.settle(&self.main).await?;
        return_unacknowledged(&channel).await?;
        Ok(Requeued { count, left })
    }

    /// Deletes messages permanently and returns how many.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn discard(&self, selection: &Selection) -> Result<usize, Error> {
        let channel = self.broker.channel().await?;
        let mut count = 0;
        self.visit_all(&channel, async |letter, acker| {
            if !selection.matches(&letter) {
                return Ok(());
            }
            acker.ack(BasicAckOptions::default()).await?;
            count += 1;
            Ok(())
        })
        .await?;
        return_unacknowledged(&channel).await?;
        Ok(count)
    }

    /// Visits all messages that are present now, and none that arrive meanwhile: a message that fails again at once
    /// would be visited for ever. It always visits all: returned messages keep their order behind those that were
    /// returned before.
    async fn visit_all(
        &self,
        channel: &Channel,
        mut visit: impl AsyncFnMut(DeadLetter, Acker) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = None;
        while left != Some(0) {
            let got = channel.basic_get(self.dead.as_str().into(), BasicGetOptions::default());
            let got = timeout(TIMEOUT, got).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))??;
            let Some(message) = got else { break };
            left = Some(left.map_or(message.message_count, |left: u32| left.saturating_sub(1)));
            let acker = message.delivery.acker.clone();
            visit(DeadLetter::of(message.delivery), acker).await?;
        }
        Ok(())
    }
}

impl Window {
    /// Waits for the confirms, acknowledges the originals, and returns their number.
    async fn settle(&mut self, queue: &str) -> Result<usize, Error> {
        let settled = self.0.len();
        for (published, acker) in self.0.drain(..) {
            broker::confirmed(published, queue).await?;
            acker.ack(BasicAckOptions::default()).await?;
        }
        Ok(settled)
    }
}

/// Returns all unacknowledged messages. The next command on any channel finds them: the queue processes the return
/// before the channel's closing is answered.
async fn return_unacknowledged(channel: &Channel) -> Result<(), Error> {
    let ended = async {
        channel.basic_nack(EVERYTHING, BasicNackOptions { multiple: true, requeue: true }).await?;
        channel.close(200, "OK".into()).await
    };
    Ok(timeout(TIMEOUT, ended).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))??)
}
