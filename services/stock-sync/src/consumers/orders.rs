//! Orders that became ready leave the shelf, cancelled ones come back to it, closed batches come onto it, and accounts are
//! known from the day they were connected.

use std::collections::BTreeSet;
use std::time::Instant;

use domain::TokenId;
use domain::events::{AccountConnected, BatchClosed, Envelope, Event, OrderCancelled, OrderReady};
use messaging::{Failure, Handler};

use crate::app::after_commit::AfterCommit;
use crate::app::goods;
use crate::app::inventory::MOST_UNITS;
use crate::app::ledger::{self, StockCommand};
use crate::domain::alert::Notice;
use crate::domain::order_view::OrderView;
use crate::state::State;
use crate::store::accounts;

/// Takes facts in.
#[derive(Debug)]
pub(crate) struct Orders(pub(crate) State);

impl Handler for Orders {
    const NAME: &'static str = "orders";
    type Effect = AfterCommit;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<AfterCommit, Failure> {
        let (mut connected, mut views, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            match event.kind.as_str() {
                AccountConnected::TYPE => connected.push(open::<AccountConnected>(event)?),
                OrderReady::TYPE => {
                    let OrderReady(order) = open(event)?;
                    views.push(OrderView::of_event(&order, false));
                }
                OrderCancelled::TYPE => {
                    let OrderCancelled(order) = open(event)?;
                    views.push(OrderView::of_event(&order, true));
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
        if !closed.is_empty() && !views.is_empty() {
            return Err(Failure::Retry("batches are received apart from sales".to_owned()));
        }
        self.0.rush.note(events.len(), Instant::now());
        accounts::connect(conn, &connected, self.0.now()).await?;
        let refused_batches = goods::close(&self.0, conn, &closed).await?;
        let tokens: BTreeSet<TokenId> = views.iter().filter_map(|view| view.token_id).collect();
        if let Some(unknown) = accounts::first_unknown(conn, &tokens).await? {
            return Err(Failure::Retry(format!("account {unknown} is not known yet")));
        }
        let (refused, views): (Vec<_>, Vec<_>) = views.into_iter().partition(|view| view.check().is_err());
        refuse(&self.0, conn, &refused).await?;
        accept(&self.0, conn, &views).await?;
        let commands: Vec<StockCommand> = views.into_iter().map(StockCommand::ApplyOrderState).collect();
        let (_outcomes, after) = ledger::apply(&self.0, conn, &commands).await?;
        Ok(AfterCommit { refused_batches, ..after })
    }

    async fn committed(&self, after: AfterCommit) {
        after.report();
        self.0.to_mark.notify_one();
    }
}

/// Tells people of orders whose lines cannot be told apart, and by which rule. Nothing of them is moved.
async fn refuse(state: &State, conn: &mut pg::Connection, refused: &[OrderView]) -> Result<(), pg::Error> {
    for view in refused {
        let Err(rule) = view.check() else { continue };
        let (order_id, token_id) = (view.order_id.clone(), view.token_id);
        let notice = Notice::Refused { order_id, token_id, rule: rule.to_string() };
        alerts::raise(conn, state.now(), &notice).await?;
    }
    Ok(())
}

/// Clears what people were told of these orders while they could not be read.
async fn accept(state: &State, conn: &mut pg::Connection, views: &[OrderView]) -> Result<(), pg::Error> {
    let cause = |view: &OrderView| Notice::refused_cause(&view.order_id, view.token_id);
    let causes: Vec<String> = views.iter().map(cause).collect();
    let causes: Vec<&str> = causes.iter().map(String::as_str).collect();
    alerts::clear_all(conn, state.now(), &causes).await?;
    Ok(())
}

fn open<E: Event>(event: &Envelope) -> Result<E, Failure> {
    event.open().map_err(|error| Failure::Reject(error.to_string()))
}
