//! What kills of webhook-dispatcher may repeat: what was sent and not yet recorded, at most the windows in force.

use anyhow::Result;

use crate::demo::client::Client;
use crate::demo::subscriber::Subscriber;
use crate::stack::Stack;

/// The window of one endpoint, at most (`WEBHOOK_MAX_WINDOW`).
pub(super) const LARGEST: usize = 128;

/// The windows in force at each kill, of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    kills: usize,
    sum: usize,
}

impl Windows {
    /// Kills a process, of webhook-dispatcher, and notes the window it had; returns it.
    pub(crate) fn kill(
        &mut self,
        stack: &mut Stack,
        process: &str,
        client: &Client,
        subscriber: &Subscriber,
    ) -> Result<usize> {
        let received = subscriber.total();
        // One that is no replica has its service's address.
        let alone = |_no_replica| stack.address("WEBHOOK_DISPATCHER_URL");
        let window = client.window(stack.address_of(process).unwrap_or_else(alone))?;
        stack.kill(process)?;
        // It grows with each delivery recorded: those that were unconfirmed then, and those received since.
        let grown = window + (subscriber.total() - received);
        let window = (window + grown).min(LARGEST);
        self.kills += 1;
        self.sum += window;
        Ok(window)
    }

    /// What all kills may repeat together.
    pub(crate) const fn sum(&self) -> usize {
        self.sum
    }

    /// Prints how many each kill repeated, on average.
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
