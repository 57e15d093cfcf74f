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
/// Bytes of bodies in hand; one of each subscription may come on top, up to as much again.
const BYTES: usize = 24 * 1024 * 1024;
/// The part of the room that is left that one subscription may take.
const SHARE: usize = 4;
/// Deliveries taken in at once, at most, so that all of them find a place.
pub(crate) const SET: usize = CAPACITY / SHARE;
/// Of each subscription, what may be left in hand when more is taken in: it keeps its endpoint busy meanwhile.
pub(crate) const LEFT: usize = PER_SUBSCRIPTION / 2;

/// The deliveries in hand. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<Counts>,
    eased: Notify,
    fallen: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: Weight,
    of: HashMap<Uuid, Weight>,
    /// Somebody waits until no more than so many are in hand.
    awaited: Option<usize>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Weight {
    number: usize,
    bytes: usize,
}

/// A place in hand; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    load: Load,
    subscription_id: Uuid,
    bytes: usize,
}

/// What may be added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) number: usize,
    pub(crate) bytes: usize,
    /// Subscriptions that have something in hand, and what each may still have.
    pub(crate) of: Vec<(Uuid, usize)>,
}

impl Load {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a delivery of this subscription with a body of so many bytes, if there is one.
    pub(crate) fn take(&self, subscription_id: Uuid, bytes: usize) -> Option<Slot> {
        let mut counts = self.lock();
        let (limit, bytes_limit, total) = (counts.limit(), counts.bytes_limit(), counts.total);
        let of = counts.of.get(&subscription_id).copied().unwrap_or_default();
        let is_first = of.number == 0 && total.bytes + bytes <= 2 * BYTES;
        if of.number >= limit || !(is_first || of.bytes + bytes <= bytes_limit) {
            return None;
        }
        counts.add(subscription_id, bytes);
        Some(self.slot(subscription_id, bytes))
    }

    /// A place for a delivery that is claimed already. There was one when the claim was made, and it may have been taken
    /// since: what is over is no more than one claim, and nobody else would look at it before its lease ends.
    pub(crate) fn hold(&self, subscription_id: Uuid, bytes: usize) -> Slot {
        self.lock().add(subscription_id, bytes);
        self.slot(subscription_id, bytes)
    }

    fn slot(&self, subscription_id: Uuid, bytes: usize) -> Slot {
        Slot { load: self.clone(), subscription_id, bytes }
    }

    /// What may be added now.
    pub(crate) fn room(&self) -> Room {
        let counts = self.lock();
        let limit = counts.limit();
        let left =
            |of: &Weight| if of.bytes < counts.bytes_limit() { limit.saturating_sub(of.number) } else { 0 };
        Room {
            number: CAPACITY.saturating_sub(counts.total.number),
            bytes: BYTES.saturating_sub(counts.total.bytes) / SHARE,
            of: counts.of.iter().map(|(id, of)| (*id, left(of))).collect(),
        }
    }

    /// Whether nothing more is to be claimed, not even a first one of a subscription.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().total.bytes >= 2 * BYTES
    }

    /// Whether anything of this subscription is in hand.
    pub(crate) fn has(&self, subscription_id: Uuid) -> bool {
        self.lock().of.contains_key(&subscription_id)
    }

    /// How many deliveries are in hand.
    pub(crate) fn number(&self) -> usize {
        self.lock().total.number
    }

    /// Returns when no more than so many deliveries are in hand. One waits at a time.
    pub(crate) async fn fallen_to(&self, number: usize) {
        loop {
            {
                let mut counts = self.lock();
                if counts.total.number <= number {
                    return;
                }
                counts.awaited = Some(number);
            }
            self.0.fallen.notified().await;
        }
    }

    /// Returns when it is worth looking for something due: there is room again where there was none, or somebody knows
    /// of something.
    pub(crate) async fn eased(&self) {
        self.0.eased.notified().await;
    }

    /// Lets [`Load::eased`] return.
    pub(crate) fn nudge(&self) {
        self.0.eased.notify_one();
    }
}

impl Counts {
    fn add(&mut self, subscription_id: Uuid, bytes: usize) {
        let of = self.of.entry(subscription_id).or_default();
        of.number += 1;
        of.bytes += bytes;
        self.total.number += 1;
        self.total.bytes += bytes;
    }

    /// What one subscription may have in hand now: less and less as it fills, so that however many are slow, others
    /// find a place.
    fn limit(&self) -> usize {
        (CAPACITY.saturating_sub(self.total.number) / SHARE).clamp(ALWAYS, PER_SUBSCRIPTION)
    }

    fn bytes_limit(&self) -> usize {
        BYTES.saturating_sub(self.total.bytes) / SHARE
    }
}

impl Slot {
    /// As [`Load::nudge`].
    pub(crate) fn nudge(&self) {
        self.load.nudge();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.load.lock();
        counts.total.number = counts.total.number.saturating_sub(1);
        counts.total.bytes = counts.total.bytes.saturating_sub(self.bytes);
        if counts.awaited.is_some_and(|number| counts.total.number <= number) {
            counts.awaited = None;
            self.load.0.fallen.notify_one();
        }
        let Some(of) = counts.of.get_mut(&self.subscription_id) else { return };
        of.number -= 1;
        of.bytes = of.bytes.saturating_sub(self.bytes);
        let left = of.number;
        if left == 0 {
            counts.of.remove(&self.subscription_id);
        }
        drop(counts);
        if left == PER_SUBSCRIPTION / 2 || left == ALWAYS / 2 {
            self.load.nudge();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::{BYTES, CAPACITY, Load, PER_SUBSCRIPTION, Room, SHARE, Slot};

    const LARGE: usize = 1024 * 1024;

    fn fill(load: &Load, hog: Uuid, bytes: usize) -> Vec<Slot> {
        (0..PER_SUBSCRIPTION + 5).map_while(|_| load.take(hog, bytes)).collect()
    }

    #[test]
    fn however_many_are_slow_another_finds_a_place() {
        let load = Load::default();
        let slots: Vec<_> = (1..=50).flat_map(|hog| fill(&load, Uuid::from_u128(hog), 0)).collect();
        assert!(slots.len() > CAPACITY * 9 / 10);
        assert!(load.take(Uuid::from_u128(99), 0).is_some());
    }

    #[test]
    fn one_subscription_cannot_take_all_places_and_dropped_ones_are_free_again() {
        let load = Load::default();
        let hog = Uuid::from_u128(1);
        let slots = fill(&load, hog, 0);
        assert_eq!(slots.len(), PER_SUBSCRIPTION);
        assert!(load.take(Uuid::from_u128(2), 0).is_some());
        let bytes = BYTES / SHARE;
        assert_eq!(load.room(), Room { number: CAPACITY - PER_SUBSCRIPTION, bytes, of: vec![(hog, 0)] });
        drop(slots);
        assert_eq!(load.room(), Room { number: CAPACITY, bytes, of: vec![] });
        assert!(!load.has(hog));
    }

    #[test]
    fn what_was_claimed_has_a_place_though_others_came_first() {
        let load = Load::default();
        let hog = Uuid::from_u128(1);
        let mut slots = fill(&load, hog, 0);
        slots.push(load.hold(hog, 0));
        assert_eq!(load.room().of, [(hog, 0)]);
        assert_eq!(load.room().number, CAPACITY - PER_SUBSCRIPTION - 1);
        drop(slots);
        assert!(!load.has(hog));
    }

    #[tokio::test]
    async fn whoever_waits_for_room_goes_on_when_enough_has_left() {
        let load = Load::default();
        let mut slots: Vec<_> = (0..5).filter_map(|_| load.take(Uuid::nil(), 0)).collect();
        {
            let mut late = pin!(load.fallen_to(1));
            assert!(late.as_mut().now_or_never().is_none());
        }
        let mut waits = pin!(load.fallen_to(3));
        assert!(waits.as_mut().now_or_never().is_none(), "the one before has given up");
        slots.truncate(4);
        assert!(waits.as_mut().now_or_never().is_none());
        slots.truncate(3);
        assert!(waits.as_mut().now_or_never().is_some());
    }

    #[test]
    fn large_bodies_are_bounded_by_their_bytes_and_each_subscription_still_has_one() {
        let load = Load::default();
        let slots: Vec<_> = (1..=200).flat_map(|hog| fill(&load, Uuid::from_u128(hog), LARGE)).collect();
        assert!(slots.len() * LARGE <= 2 * BYTES, "{} bodies", slots.len());
        assert!(load.is_full(), "nothing more is claimed");
        assert!(load.has(Uuid::from_u128(15)), "another finds a place");
    }
}
