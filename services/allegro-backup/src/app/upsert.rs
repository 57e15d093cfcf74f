//! Storing answers: an order never goes back, replaced contents are kept, and every change is told once.

use std::collections::HashMap;
use std::ops::AddAssign;

use domain::Instant;
use domain::events::{Envelope, OrderCancelled, OrderCreated, OrderReady, OrderUpdated};
use domain::{OrderId, TokenId, catch_panic_in};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use crate::domain::order::{Order, Owner};
use crate::domain::readiness::{self, Transition};
use crate::domain::replace::{AGREEMENT_GAP, Decision, decide};
use crate::state::State;
use crate::store::failed::{self, Failed};
use crate::store::journal;
use crate::store::orders::{self, Content, Locked, Older, Seen};

/// Where answers came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The list of orders.
    List,
    /// An order an event named.
    Event,
    /// An order read by itself, because it may have changed unheard.
    Detail,
    /// A list that a person asked for.
    Manual(OnDuplicate),
    /// An order that a person asked for.
    Asked,
}

/// What becomes of an order that is stored already, when a person asks for a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDuplicate {
    /// It is brought up to date.
    #[default]
    Update,
    /// It is left as it is.
    Skip,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Event => "event",
            Self::Detail => "detail",
            Self::Manual(_) | Self::Asked => "manual",
        }
    }

    /// A person requested it.
    const fn is_by_hand(self) -> bool {
        matches!(self, Self::Manual(_) | Self::Asked)
    }

    const fn is_list(self) -> bool {
        matches!(self, Self::List | Self::Manual(_))
    }
}

/// Orders as they were answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    orders: Vec<(Order, OffsetDateTime)>,
    /// What cannot be kept as it is.
    pub(crate) failed: Vec<Failed>,
}

/// What became of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Stored for the first time.
    pub(crate) added: usize,
    /// Replaced an older content.
    pub(crate) updated: usize,
    /// Said nothing new.
    pub(crate) unchanged: usize,
    /// Were older than what is stored.
    pub(crate) late: usize,
    /// Went into quarantine.
    pub(crate) failed: usize,
    /// Of those updated: the new content says less than the one before.
    pub(crate) lost_data: usize,
    /// Were merged into another order.
    pub(crate) merged: usize,
}

impl Counts {
    /// Orders that were looked at.
    pub(crate) const fn processed(self) -> usize {
        self.added + self.updated + self.unchanged + self.late + self.failed
    }

    /// Logs what became of an account's orders, after the commit.
    pub(crate) fn log(self, token_id: TokenId) {
        if self.lost_data > 0 {
            tracing::warn!(token = %token_id, orders = self.lost_data, "orders were replaced by contents that say less");
        }
        if self.merged > 0 {
            tracing::info!(token = %token_id, orders = self.merged, "orders were merged into others");
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.added += more.added;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.late += more.late;
        self.failed += more.failed;
        self.lost_data += more.lost_data;
        self.merged += more.merged;
    }
}

impl Answers {
    /// Reads an answer to a request started at `asked_at`; `in_list` when a list named the order.
    pub(crate) fn read(&mut self, raw: &RawValue, asked_at: OffsetDateTime, in_list: bool) {
        // A panic ends this order and no other.
        let read = catch_panic_in(|| {
            failpoint::hit("order.read");
            Order::read(raw.get())
        });
        let (text, class) = match read {
            Ok(Ok(order)) => return self.orders.push((order, asked_at)),
            Ok(Err(error)) => (error.to_string(), "unreadable"),
            Err(panic) => {
                tracing::error!(error = %panic, "an order panicked; it is quarantined");
                (panic.to_string(), "panicked")
            }
        };
        let named: Option<Named> = serde_json::from_str(raw.get()).ok();
        let (order_id, class) = match named {
            Some(named) => (named.id.replace('\0', "\u{fffd}"), class),
            // Each is kept under a name of its own.
            None => (format!("nameless-{}", hex::encode(Sha256::digest(raw.get()))), failed::NAMELESS),
        };
        let (document, day) = (Some(raw.get().to_owned()), day_of(raw));
        self.failed.push(Failed { order_id, class, text, document, day, in_list });
    }

    /// Everything that was answered, readable or not.
    pub(crate) fn count(&self) -> i64 {
        i64::try_from(self.orders.len() + self.failed.len()).unwrap_or(i64::MAX)
    }

    /// The orders that were answered.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().map(|(order, _)| order)
    }

    /// Allegro's ids of the orders that were answered.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.orders.iter().map(|(order, _)| order.id.as_str()).collect()
    }

    /// Allegro's ids of the orders that were answered, or are to be put into quarantine.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let failed = self.failed.iter().map(|failed| failed.order_id.as_str());
        self.orders.iter().map(|(order, _)| order.id.as_str()).chain(failed)
    }

    /// The latest answer for each order.
    fn by_id(&self) -> HashMap<&str, (&Order, OffsetDateTime)> {
        let mut latest: HashMap<&str, (&Order, OffsetDateTime)> = HashMap::new();
        for (order, asked_at) in &self.orders {
            let slot = latest.entry(order.id.as_str()).or_insert((order, *asked_at));
            if slot.1 < *asked_at {
                *slot = (order, *asked_at);
            }
        }
        latest
    }
}

impl FromIterator<Self> for Answers {
    fn from_iter<T: IntoIterator<Item = Self>>(pages: T) -> Self {
        let mut all = Self::default();
        for mut page in pages {
            all.orders.append(&mut page.orders);
            all.failed.append(&mut page.failed);
        }
        all
    }
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// The day (UTC) an order was bought on, as far as a document that is not as it should be tells.
fn day_of(raw: &RawValue) -> Option<Date> {
    let content: Value = serde_json::from_str(raw.get()).ok()?;
    let lines = content.get("lineItems")?.as_array()?;
    let moments = lines.iter().filter_map(|line| line.get("boughtAt")?.as_str());
    let latest = moments.filter_map(|at| at.parse::<Instant>().ok()).max()?;
    Some(OffsetDateTime::from(latest).date())
}

/// Stores answers and tells what changed, in the caller's transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn store(
    state: &State,
    conn: &mut pg::Connection,
    owner: &Owner,
    answers: &Answers,
    source: Source,
) -> Result<Counts, pg::Error> {
    let mut counts = Counts { failed: answers.failed.len(), ..Counts::default() };
    failed::quarantine(conn, owner.token_id, &answers.failed).await?;
    let mut waiting = answers.by_id();
    let mut told = Vec::new();
    let ready_ids: Vec<&str> = waiting
        .values()
        .filter(|(order, _)| order.form.is_ready())
        .map(|(order, _)| order.id.as_str())
        .collect();
    let ready_events = journal::first_ready(conn, owner.token_id, &ready_ids).await?;
    while !waiting.is_empty() {
        let mut ids: Vec<&str> = waiting.keys().copied().collect();
        ids.sort_unstable();
        let locked = orders::lock(conn, owner.token_id, &ids).await?;
        update(state, conn, owner, (&locked, source, &ready_events), (&mut waiting, &mut told, &mut counts))
            .await?;
        let fresh: Vec<Content<'_>> = waiting
            .values()
            .map(|(order, asked_at)| Content {
                id: state.ids.next_id().into(),
                order,
                asked_at: *asked_at,
                lost_data: false,
                ready_announced: order.form.is_ready(),
                cancel_announced: order.form.is_cancelled(),
                ready_at: readiness::ready_at(
                    order,
                    None,
                    ready_events.get(order.id.as_str()).copied(),
                    *asked_at,
                ),
                was_shipped: order.form.is_shipped(),
            })
            .collect();
        if fresh.is_empty() {
            break;
        }
        // What another writer put in meanwhile is found, locked, in the next round.
        let inserted: HashMap<String, OffsetDateTime> =
            orders::insert(conn, owner.token_id, &fresh, (source.word(), source.is_list()))
                .await?
                .into_iter()
                .map(|row| (row.allegro_order_id, row.created_at))
                .collect();
        let added: Vec<Content<'_>> =
            fresh.into_iter().filter(|content| inserted.contains_key(content.order.id.as_str())).collect();
        orders::write_lines(conn, &added).await?;
        counts.added += added.len();
        for content in &added {
            waiting.remove(content.order.id.as_str());
            let stored_at = inserted.get(content.order.id.as_str()).copied();
            let fact = content.order.event(owner, content.known(1, stored_at.unwrap_or(content.asked_at)));
            if content.ready_announced {
                told.push(state.wrap(&OrderReady(fact.clone()))?);
            }
            if content.cancel_announced {
                told.push(state.wrap(&OrderCancelled(fact.clone()))?);
            }
            told.push(state.wrap(&OrderCreated(fact))?);
        }
    }
    // A list names every order anyhow; only an order asked for by itself leaves quarantine by being answered.
    if !source.is_list() {
        failed::resolve(conn, owner.token_id, &answers.ids()).await?;
    }
    // Creation comes before what follows from it; ids grow in the order facts are told.
    told.sort_by_key(|event| (event.subject.clone(), event.kind != "order.created"));
    messaging::outbox::push(conn, &told).await?;
    Ok(counts)
}

type Progress<'a, 'b> =
    (&'b mut HashMap<&'a str, (&'a Order, OffsetDateTime)>, &'b mut Vec<Envelope>, &'b mut Counts);

/// Of answers whose `updatedAt` is older than what is stored, those that an earlier answer agrees with.
async fn agreed(
    conn: &mut pg::Connection,
    locked: &[Locked],
    waiting: &HashMap<&str, (&Order, OffsetDateTime)>,
) -> Result<Vec<OrderId>, pg::Error> {
    let older: Vec<Older<'_>> = locked
        .iter()
        .filter_map(|existing| {
            let (order, asked_at) = waiting.get(existing.allegro_order_id.as_str())?;
            let is_older = matches!(decide(&existing.stored, order, *asked_at), Decision::Older { .. });
            is_older.then_some(Older {
                id: existing.id,
                content_hash: &order.content_hash,
                agreed_before: *asked_at - AGREEMENT_GAP,
            })
        })
        .collect();
    orders::agreed(conn, &older).await
}

/// Decides about orders that are stored already.
async fn update(
    state: &State,
    conn: &mut pg::Connection,
    owner: &Owner,
    (locked, source, ready_events): (&[Locked], Source, &HashMap<String, OffsetDateTime>),
    (waiting, told, counts): Progress<'_, '_>,
) -> Result<(), pg::Error> {
    let (mut replaced, mut late, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let agreed = agreed(conn, locked, waiting).await?;
    for existing in locked {
        let Some((order, asked_at)) = waiting.remove(existing.allegro_order_id.as_str()) else { continue };
        let published = readiness::published(order, existing.before());
        let content = |lost_data| Content {
            id: existing.id,
            order,
            asked_at,
            lost_data,
            ready_announced: published.is_ready,
            cancel_announced: published.is_cancelled,
            ready_at: readiness::ready_at(
                order,
                Some(existing.before()),
                ready_events.get(order.id.as_str()).copied(),
                asked_at,
            ),
            was_shipped: readiness::was_shipped(order, existing.before()),
        };
        let mut see = |is_current| seen.push(Seen { id: existing.id, asked_at, is_current });
        if source == Source::Manual(OnDuplicate::Skip) {
            counts.unchanged += 1;
            see(false);
            continue;
        }
        // An order that was gone is back: told as any change.
        let is_back = existing.is_deleted && asked_at > existing.stored.asked_at;
        let decision = match decide(&existing.stored, order, asked_at) {
            Decision::Unchanged if is_back => Decision::Replace { loses_data: false },
            Decision::Older { loses_data } if source.is_by_hand() || agreed.contains(&existing.id) => {
                Decision::Replace { loses_data }
            }
            decision => decision,
        };
        match decision {
            Decision::Unchanged => {
                counts.unchanged += 1;
                see(true);
            }
            Decision::Late | Decision::Older { .. } => {
                counts.late += 1;
                late.push(content(false));
                see(false);
            }
            Decision::Replace { loses_data } => {
                counts.updated += 1;
                if source.is_list() {
                    see(true);
                }
                counts.lost_data += usize::from(loses_data);
                let content = content(loses_data);
                let event = order.event(owner, content.known(existing.version + 1, existing.created_at));
                told.push(state.wrap(&OrderUpdated(event.clone()))?);
                match readiness::transition(order, content.ready_at, existing.before()) {
                    Some(Transition::Ready) => told.push(state.wrap(&OrderReady(event))?),
                    Some(Transition::Cancelled) => told.push(state.wrap(&OrderCancelled(event))?),
                    None => {}
                }
                replaced.push(content);
            }
        }
    }
    orders::replace(conn, owner.token_id, &replaced, source.word()).await?;
    orders::write_lines(conn, &replaced).await?;
    orders::keep_late(conn, &late, source.word()).await?;
    orders::seen_again(conn, &seen, source.is_list()).await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::value::RawValue;
    use time::OffsetDateTime;
    use time::macros::{date, datetime};

    use super::Answers;

    #[test]
    fn an_order_bought_outside_the_calendar_is_kept() {
        let late = "2026-11-21T23:30:00-01:00";
        for (bought, day) in [
            (["9999-12-31T23:59:59-01:00"].as_slice(), None),
            (&["0001-01-01T00:00:00+01:00", late], Some(date!(2026 - 11 - 22))),
        ] {
            let lines: Vec<String> = bought
                .iter()
                .map(|at| format!(r#"{{"id":"l","offer":{{"id":"7"}},"quantity":1,"boughtAt":"{at}"}}"#))
                .collect();
            let mut answers = Answers::default();
            let read = |id: &str, answers: &mut Answers| {
                let raw = format!(r#"{{{id}"status":"BOUGHT","lineItems":[{}]}}"#, lines.join(","));
                answers.read(&RawValue::from_string(raw).unwrap(), datetime!(2026-11-23 00:00 UTC), true);
            };
            read(r#""id":"a","#, &mut answers);
            let [(order, _)] = answers.orders.as_slice() else { panic!("{bought:?}") };
            assert_eq!(order.bought_at.map(OffsetDateTime::date), day);
            read("", &mut answers);
            let [failed] = answers.failed.as_slice() else { panic!("{bought:?}") };
            assert_eq!((failed.class, failed.day), ("nameless", day));
        }
    }
}
