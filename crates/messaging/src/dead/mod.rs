//! Events set aside: looked at, brought back, thrown away.
//!
//! A message is looked at by taking it without acknowledgement; what was not acknowledged is put back, in its old order,
//! by us or, when we die, by the end of the channel. Meanwhile nobody else sees it; the consumer is not disturbed.

mod command;
mod letter;

use domain::topology::Role;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions};
use lapin::{Acker, Channel, PublisherConfirm};
use time::OffsetDateTime;
use tokio::time::timeout;

pub use command::{CommandError, DeadCommand};
pub use letter::DeadLetter;

use crate::broker::{self, PATIENCE};
use crate::{Broker, Error, topology};

/// Publishes that wait for their confirm at once.
const WINDOW: usize = 200;

/// As a delivery tag: all that is not acknowledged yet (AMQP 0-9-1, basic.nack).
const EVERYTHING: u64 = 0;

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this id.
    One(String),
    /// Those of this event type.
    OfType(String),
    /// All that are there when the command begins.
    All,
}

/// The dead queue of one service.
#[derive(Debug)]
pub struct DeadLetters {
    broker: Broker,
    dead: String,
    main: String,
}

/// What came of bringing messages back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeued {
    /// So many are in the queue again.
    pub count: usize,
    /// So many were left, because the inbox may have forgotten them.
    pub left: usize,
}

/// Messages on their way back to the main queue.
#[derive(Default)]
struct Window(Vec<(PublisherConfirm, Acker)>);

impl Which {
    fn covers(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::One(id) => letter.id == *id,
            Self::OfType(kind) => letter.kind.as_deref() == Some(kind),
            Self::All => true,
        }
    }
}

impl DeadLetters {
    /// The dead queue of the service of this name.
    pub fn new(broker: Broker, service: &str) -> Self {
        Self { broker, dead: Role::Dead.queue_of(service), main: Role::Main.queue_of(service) }
    }

    /// How many messages are there, leaving out those another command looks at now.
    ///
    /// # Errors
    /// When the broker cannot be reached, or the service never declared its queues.
    pub async fn count(&self) -> Result<u32, Error> {
        topology::depth(&self.broker.channel().await?, &self.dead).await
    }

    /// At most `limit` of the messages meant, oldest first. They stay.
    ///
    /// # Errors
    /// When the broker cannot be reached, or the service never declared its queues.
    pub async fn find(&self, which: &Which, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        let channel = self.broker.channel().await?;
        self.walk(&channel, async |letter, _acker| {
            if found.len() < limit && which.covers(&letter) {
                found.push(letter);
            }
            Ok(())
        })
        .await?;
        put_back(&channel).await?;
        Ok(found)
    }

    /// Brings messages back to the queue they were set aside from, with a clean count of attempts. Each leaves the dead
    /// queue when the other has it: dying in between leaves both, which the inbox makes harmless.
    ///
    /// What was told before the inbox's memory begins is left where it is: another copy of it may have been applied, and
    /// nobody would know. `even_forgotten` brings it back all the same.
    ///
    /// # Errors
    /// When the broker cannot be reached, or does not take a message; it then stays where it is.
    pub async fn requeue(&self, which: &Which, even_forgotten: bool) -> Result<Requeued, Error> {
        let now = OffsetDateTime::now_utc();
        let channel = self.broker.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (mut window, mut count, mut left) = (Window::default(), 0, 0);
        self.walk(&channel, async |letter, acker| {
            if !which.covers(&letter) {
                return Ok(());
            }
            if !even_forgotten && letter.is_forgotten(now) {
                left += 1;
                return Ok(());
            }
            let published = broker::publish(&channel, &self.main, &letter.body, letter.revived()).await?;
            window.0.push((published, acker));
            if window.0.len() == WINDOW {
                count += window.settle(&self.main).await?;
            }
            Ok(())
        })
        .await?;
        count += window.settle(&self.main).await?;
        put_back(&channel).await?;
        Ok(Requeued { count, left })
    }

    /// Throws messages away for good and returns how many.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn discard(&self, which: &Which) -> Result<usize, Error> {
        let channel = self.broker.channel().await?;
        let mut count = 0;
        self.walk(&channel, async |letter, acker| {
            if !which.covers(&letter) {
                return Ok(());
            }
            acker.ack(BasicAckOptions::default()).await?;
            count += 1;
            Ok(())
        })
        .await?;
        put_back(&channel).await?;
        Ok(count)
    }

    /// Looks at everything that is there now, and not at what comes meanwhile: a message that fails again at once would
    /// be met for ever. Always at everything: what is put back stands behind what was put back before.
    async fn walk(
        &self,
        channel: &Channel,
        mut look: impl AsyncFnMut(DeadLetter, Acker) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = None;
        while left != Some(0) {
            let got = channel.basic_get(self.dead.as_str().into(), BasicGetOptions::default());
            let got = timeout(PATIENCE, got).await.map_err(|_elapsed| Error::Timeout(PATIENCE))??;
            let Some(message) = got else { break };
            left = Some(left.map_or(message.message_count, |left: u32| left.saturating_sub(1)));
            let acker = message.delivery.acker.clone();
            look(DeadLetter::of(message.delivery), acker).await?;
        }
        Ok(())
    }
}

impl Window {
    /// Waits for the confirms and acknowledges what is confirmed; returns how many that were.
    async fn settle(&mut self, queue: &str) -> Result<usize, Error> {
        let settled = self.0.len();
        for (published, acker) in self.0.drain(..) {
            broker::confirmed(published, queue).await?;
            acker.ack(BasicAckOptions::default()).await?;
        }
        Ok(settled)
    }
}

/// Puts back everything taken and not acknowledged. The next command on whatever channel finds it there: the queue
/// hears of it before we hear that the channel is closed.
async fn put_back(channel: &Channel) -> Result<(), Error> {
    let ended = async {
        channel.basic_nack(EVERYTHING, BasicNackOptions { multiple: true, requeue: true }).await?;
        channel.close(200, "OK".into()).await
    };
    Ok(timeout(PATIENCE, ended).await.map_err(|_elapsed| Error::Timeout(PATIENCE))??)
}
