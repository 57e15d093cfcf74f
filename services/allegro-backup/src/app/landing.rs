//! Storing what asking for single orders brought, in one transaction with whatever depends on it.

use std::collections::HashMap;

use domain::events::OrderUpdated;
use time::{Duration, OffsetDateTime};

use super::details::Told;
use super::list_window::HISTORY;
use super::task_definitions::UpdateOrders;
use super::upsert::{Answers, Counts, Source, store};
use crate::domain::order::{Order, Owner};
use crate::state::State;
use crate::store::failed::{self, Failed};
use crate::store::order_marks;

/// Allegro's edge is not ours to the minute.
const EDGE: Duration = Duration::days(1);

/// What was learned about single orders.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    answers: Answers,
    gone: Vec<(String, OffsetDateTime)>,
}

impl Learned {
    /// Takes what can be stored; what may be Allegro's trouble is given back.
    pub(crate) fn of(told: HashMap<String, Told>) -> (Self, Option<super::access::CallError>) {
        let (mut learned, mut unsettled) = (Self::default(), None);
        for (order_id, told) in told {
            unsettled = learned.add(order_id, told).or(unsettled);
        }
        (learned, unsettled)
    }

    /// Adds what was learned about one order, unless it may be Allegro's trouble.
    pub(crate) fn add(&mut self, order_id: String, told: Told) -> Option<super::access::CallError> {
        match told {
            Told::Order(raw, asked_at) => self.answers.read(&raw, asked_at, false),
            Told::Gone(asked_at) => self.gone.push((order_id, asked_at)),
            Told::Refused(failed) => self.answers.failed.push(failed),
            Told::Unsettled(error) => return Some(error),
        }
        None
    }

    /// Allegro's ids of the orders that were answered.
    pub(crate) fn answered(&self) -> Vec<&str> {
        self.answers.ids()
    }

    /// Orders that are older than Allegro shows any: they are not gone, and nothing is wrong with them.
    async fn aged(
        &self,
        state: &State,
        conn: &mut pg::Connection,
        owner: &Owner,
    ) -> Result<Vec<String>, pg::Error> {
        let ids: Vec<&str> = self.gone.iter().map(|(order_id, _)| order_id.as_str()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let aged =
            order_marks::bought_before(conn, owner.token_id, &ids, state.now() - HISTORY + EDGE).await?;
        failed::resolve(conn, owner.token_id, &aged.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        Ok(aged)
    }

    /// Stores it all in the caller's transaction: answered orders, quarantine, and orders that were merged away. Orders
    /// that share lines with those that were answered are asked for by a task of their own.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn store(
        &self,
        state: &State,
        conn: &mut pg::Connection,
        owner: &Owner,
        source: Source,
    ) -> Result<Counts, pg::Error> {
        let mut counts = store(state, conn, owner, &self.answers, source).await?;
        let (mut without_trace, mut corrupt) = (Vec::new(), Vec::new());
        let aged = self.aged(state, conn, owner).await?;
        for (order_id, asked_at) in self.gone.iter().filter(|(order_id, _)| !aged.contains(order_id)) {
            match order_marks::carrier(conn, owner.token_id, order_id).await? {
                Some(into) => {
                    // A savepoint: an order that cannot be read is not merged, and stops no other.
                    let merging = async |conn: &mut pg::Connection| {
                        merge(state, conn, owner, (order_id, &into), *asked_at).await
                    };
                    match pg::savepoint(conn, merging).await {
                        Ok(()) => counts.merged += 1,
                        Err(error @ pg::Error::Corrupt { .. }) => corrupt.push(Failed {
                            order_id: order_id.clone(),
                            class: "corrupt",
                            text: error.to_string(),
                            document: None,
                            day: None,
                            in_list: false,
                        }),
                        Err(error) => return Err(error),
                    }
                }
                None => without_trace.push(Failed {
                    order_id: order_id.clone(),
                    class: "not_found",
                    text: "Allegro has no such order, and no other order carries its lines".to_owned(),
                    document: None,
                    day: None,
                    in_list: false,
                }),
            }
        }
        counts.failed += without_trace.len() + corrupt.len();
        failed::quarantine(conn, owner.token_id, &corrupt).await?;
        failed::quarantine(conn, owner.token_id, &without_trace).await?;
        let gone: Vec<&str> = without_trace.iter().map(|it| it.order_id.as_str()).collect();
        order_marks::vanish(conn, owner.token_id, &gone).await?;

        // Only what an event brought: two orders that share lines and both live would ask for each other for ever.
        let sharers = match source {
            Source::Event => order_marks::sharers(conn, owner.token_id, &self.answers.ids()).await?,
            _ => Vec::new(),
        };
        if !sharers.is_empty() {
            let task = UpdateOrders::of((owner.token_id, &owner.user_id), sharers);
            tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await?;
        }
        Ok(counts)
    }
}

/// An order became part of another: told as a change of the one that is gone.
async fn merge(
    state: &State,
    conn: &mut pg::Connection,
    owner: &Owner,
    (order_id, into): (&str, &str),
    asked_at: OffsetDateTime,
) -> Result<(), pg::Error> {
    failed::merged(conn, owner.token_id, (order_id, into)).await?;
    let Some((known, content)) = order_marks::merge(conn, owner.token_id, (order_id, into), asked_at).await?
    else {
        return Ok(());
    };
    let id = || format!("{}/{order_id}", owner.token_id);
    let order = Order::read(&content).map_err(|_error| pg::Error::corrupt("orders", id(), "order_data"))?;
    let mut fact = order.event(owner, known);
    fact.merged_into = Some(into.to_owned().into());
    messaging::outbox::push(conn, &[state.wrap(&OrderUpdated(fact))?]).await
}
