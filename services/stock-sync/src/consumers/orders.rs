//! Orders that became ready leave the shelf, cancelled ones come back to it, closed batches come onto it, and accounts are
//! known from the day they were connected.

use std::time::Instant;

use domain::events::{AccountConnected, BatchClosed, Envelope, Event, OrderCancelled, OrderReady};
use messaging::{Failure, Handler};

use crate::app::after_commit::AfterCommit;
use crate::app::goods;
use crate::app::inventory::MOST_UNITS;
use crate::app::ledger::{self, Deed};
use crate::domain::sale::{Line, Sale};
use crate::state::State;
use crate::store::accounts;

/// Takes facts in.
#[derive(Debug)]
pub(crate) struct Orders(pub(crate) State);

impl Handler for Orders {
    const NAME: &'static str = "orders";
    type Effect = AfterCommit;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<AfterCommit, Failure> {
        let (mut connected, mut deeds, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            match event.kind.as_str() {
                AccountConnected::TYPE => connected.push(open::<AccountConnected>(event)?),
                OrderReady::TYPE => {
                    let OrderReady(fact) = open(event)?;
                    let sale = Sale::read(&fact).map_err(|error| Failure::Reject(error.to_string()))?;
                    deeds.push(Deed::Sell(sale));
                }
                OrderCancelled::TYPE => {
                    let OrderCancelled(fact) = open(event)?;
                    // The lines of an order that was merged away live on in another.
                    if fact.merged_into.is_none() {
                        let lines = fact.line_items.iter().map(Line::read).collect();
                        deeds.push(Deed::Cancel { order_id: fact.order_id, token_id: fact.token_id, lines });
                    }
                }
                BatchClosed::TYPE if !self.0.settings.receipt_on_batch_close => {}
                BatchClosed::TYPE => {
                    let batch: BatchClosed = open(event)?;
                    if !(0..=MOST_UNITS).contains(&batch.statistics.aggregated) {
                        return Err(Failure::Reject(
                            "a batch of fewer than no pieces, or too many".to_owned(),
                        ));
                    }
                    closed.push(batch);
                }
                other => return Err(Failure::Reject(format!("{other} was not asked for"))),
            }
        }
        // Both lock levels, each in their order: split until they stand apart, two replicas never wait for one another.
        if !closed.is_empty() && !deeds.is_empty() {
            return Err(Failure::Retry("batches are received apart from sales".to_owned()));
        }
        self.0.rush.note(events.len(), Instant::now());
        accounts::connect(conn, &connected, self.0.now()).await?;
        let refused_batches = goods::close(&self.0, conn, &closed).await?;
        let (_outcomes, after) = ledger::apply(&self.0, conn, &deeds).await?;
        Ok(AfterCommit { refused_batches, ..after })
    }

    async fn committed(&self, after: AfterCommit) {
        after.report();
        self.0.to_mark.notify_one();
    }
}

fn open<E: Event>(event: &Envelope) -> Result<E, Failure> {
    event.open().map_err(|error| Failure::Reject(error.to_string()))
}
