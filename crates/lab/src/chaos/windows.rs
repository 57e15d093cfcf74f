//! The maximum number of webhooks that kills of webhook-dispatcher may repeat: the sum of the windows at each kill.

use anyhow::Result;
use stack::Stack;

use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;

/// Maximum window of one endpoint (`WEBHOOK_MAX_WINDOW`).
pub(super) const LARGEST: usize = 128;

/// The windows at each kill, of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    kills: usize,
    sum: usize,
}

impl Windows {
    /// Kills a process of webhook-dispatcher, and records and returns its window at that time.
    pub(crate) fn kill(
        &mut self,
        stack: &mut Stack,
        process: &str,
        client: &Client,
        subscriber: &Subscriber,
    ) -> Result<usize> {
        let received = subscriber.total();
        // A process without its own address uses the address of its service.
        let alone = |_no_replica| stack.address("WEBHOOK_DISPATCHER_URL");
        let window = client.window(stack.address_of(process).unwrap_or_else(alone))?;
        stack.kill(process)?;
        // The window grows with each recorded delivery: add those that were unconfirmed at the reading, and those
        // received since.
        let grown = window + (subscriber.total() - received);
        let window = (window + grown).min(LARGEST);
        self.kills += 1;
        self.sum += window;
        Ok(window)
    }

    /// The maximum number of webhooks that all kills together may repeat.
    pub(crate) const fn sum(&self) -> usize {
        self.sum
    }

    /// Prints the mean number of repeats per kill.
    pub(crate) fn print(&self, repeated: usize) {
        let per_kill = |number: usize| match self.kills {
            0 => 0,
            kills => (10 * number).div_ceil(kills),
        };
        let shown = |tenths: usize| format!("{}.{}", tenths / 10, tenths % 10);
        println!(
            "{} kills of webhook-dispatcher repeated {} webhooks each, with windows of {}",
            self.kills,
            shown(per_kill(repeated)),
            shown(per_kill(self.sum)),
        );
    }
}
