//! How much is in hand, in all and for each subscription: what bounds memory, and keeps one slow receiver from taking
//! all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// Deliveries in hand, but for the few places every subscription always has.
const CAPACITY: usize = 10_000;
/// Of one subscription, while there is room.
const PER_SUBSCRIPTION: usize = 1_000;
/// Of one subscription, always: what it can have under way, and as much again.
const ALWAYS: usize = 16;
/// The part of the room that is left that one subscription may take.
const SHARE: usize = 4;

/// The deliveries in hand. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<Counts>,
    eased: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    of: HashMap<Uuid, usize>,
}

/// A place in hand; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    load: Load,
    subscription_id: Uuid,
}

impl Load {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a delivery of this subscription, if there is one.
    pub(crate) fn take(&self, subscription_id: Uuid) -> Option<Slot> {
        let mut counts = self.lock();
        let limit = counts.limit();
        let of = counts.of.entry(subscription_id).or_default();
        if *of >= limit {
            return None;
        }
        *of += 1;
        counts.total += 1;
        Some(Slot { load: self.clone(), subscription_id })
    }

    /// Places left in all, and the subscriptions that have none left.
    pub(crate) fn room(&self) -> (usize, Vec<Uuid>) {
        let counts = self.lock();
        let enough = counts.limit() / 2;
        let saturated = counts.of.iter().filter(|(_, of)| **of >= enough).map(|(id, _)| *id);
        (CAPACITY.saturating_sub(counts.total), saturated.collect())
    }

    /// Returns when a subscription that had no place left has some again.
    pub(crate) async fn eased(&self) {
        self.0.eased.notified().await;
    }
}

impl Counts {
    /// What one subscription may have in hand now: less and less as it fills, so that however many are slow, others
    /// find a place.
    fn limit(&self) -> usize {
        (CAPACITY.saturating_sub(self.total) / SHARE).clamp(ALWAYS, PER_SUBSCRIPTION)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.load.lock();
        counts.total = counts.total.saturating_sub(1);
        let Some(of) = counts.of.get_mut(&self.subscription_id) else { return };
        *of -= 1;
        let left = *of;
        if left == 0 {
            counts.of.remove(&self.subscription_id);
        }
        drop(counts);
        if left == PER_SUBSCRIPTION / 2 || left == ALWAYS / 2 {
            self.load.0.eased.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{CAPACITY, Load, PER_SUBSCRIPTION};

    #[test]
    fn however_many_are_slow_another_finds_a_place() {
        let load = Load::default();
        let hogs = (1..=50).map(Uuid::from_u128);
        let slots: Vec<_> = hogs
            .flat_map(|hog| (0..PER_SUBSCRIPTION).filter_map(|_| load.take(hog)).collect::<Vec<_>>())
            .collect();
        assert!(slots.len() > CAPACITY * 9 / 10);
        assert!(load.take(Uuid::from_u128(99)).is_some());
    }

    #[test]
    fn one_subscription_cannot_take_all_places_and_dropped_ones_are_free_again() {
        let load = Load::default();
        let hog = Uuid::from_u128(1);
        let slots: Vec<_> = (0..PER_SUBSCRIPTION + 5).filter_map(|_| load.take(hog)).collect();
        assert_eq!(slots.len(), PER_SUBSCRIPTION);
        assert!(load.take(Uuid::from_u128(2)).is_some());
        assert_eq!(load.room(), (CAPACITY - PER_SUBSCRIPTION, vec![hog]));
        drop(slots);
        assert_eq!(load.room(), (CAPACITY, vec![]));
    }
}
