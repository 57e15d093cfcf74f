//! Generates orders at a rate, and changes of orders that exist.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;

use super::State;
use super::arrival::arrive;
use super::change::Change;
use super::generator::Generator;
use super::orders::{Order, Seller};

/// The requested run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoLive {
    /// The seller; the first one by default.
    pub(crate) seller_id: Option<String>,
    /// One order for each seller in turn.
    #[serde(default)]
    pub(crate) all_sellers: bool,
    pub(crate) count: u64,
    pub(crate) rate_per_second: f64,
    /// Percentage of the orders that the buyer cancels at once.
    #[serde(default)]
    pub(crate) cancel_percent: u64,
    /// Percentage of arrivals at which another, existing order changes.
    #[serde(default)]
    pub(crate) change_percent: u64,
    /// Percentage of the orders that are paid together with the previous one, which replaces both by a new one.
    #[serde(default)]
    pub(crate) merge_percent: u64,
    pub(crate) seed: Option<u64>,
}

impl GoLive {
    /// The error of the request.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let percents = [self.cancel_percent, self.change_percent, self.merge_percent];
        if !(0.1..=10_000.0).contains(&self.rate_per_second) || percents.iter().any(|it| *it > 100) {
            return Err("rate_per_second is between 0.1 and 10000, percents between 0 and 100");
        }
        if self.all_sellers && self.seller_id.is_some() {
            return Err("name one seller or all, not both");
        }
        Ok(())
    }
}

/// Progress of a run.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) count: u64,
    pub(crate) emitted: u64,
    pub(crate) run: u64,
}

/// Generates one order after the other.
pub(crate) struct Emitter {
    request: GoLive,
    generator: Generator,
    random: StdRng,
    /// The last order of each seller that may still be paid together with the next one.
    last: Vec<Option<String>>,
}

/// One order is sent from one warehouse, the seller's or Allegro's: orders of both cannot be paid together.
fn ships_alike(seller: &Seller, one: &str, other: &str) -> bool {
    let provider = |id: &str| {
        let form = seller.find(id).map(Order::form).unwrap_or_default();
        form.pointer("/fulfillment/provider/id").cloned()
    };
    provider(one) == provider(other)
}

impl Emitter {
    pub(crate) fn new(request: GoLive, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_add(1));
        Self { request, generator: Generator::new(seed), random, last: Vec::new() }
    }

    /// Adds the n-th order.
    pub(crate) fn emit(&mut self, state: &mut State, n: u64) {
        // Spread evenly: the n-th order is selected when the percentage passes a whole number.
        let is_one_of = |percent: u64| (n + 1) * percent / 100 > n * percent / 100;
        let place = if self.request.all_sellers {
            usize::try_from(n).unwrap_or_default() % state.sellers.len().max(1)
        } else {
            0
        };
        let named = match &self.request.seller_id {
            Some(named) => Some(named.clone()),
            None => state.sellers.get(place).map(|seller| seller.id.clone()),
        };
        let Some((seller, mut context)) = state.seller_mut(named.as_deref()) else { return };
        let id = arrive(seller, &mut self.generator, &mut context);
        if self.last.len() <= place {
            self.last.resize(place + 1, None);
        }
        let before = self.last.get_mut(place).and_then(Option::take);
        // Random, not spread: otherwise it would always be the same seller's.
        let (changes, merges) =
            (self.draws(self.request.change_percent), self.draws(self.request.merge_percent));
        if is_one_of(self.request.cancel_percent) {
            seller.change(&id, &Change::BuyerCancel, &mut context, false);
        } else if let Some(before) = before.filter(|before| merges && ships_alike(seller, before, &id)) {
            seller.merge(&[before, id], &mut context);
        } else if let Some(last) = self.last.get_mut(place) {
            *last = Some(id);
        }
        if changes {
            let at = self.random.random_range(0..seller.orders.len().max(1));
            let living =
                seller.orders.get(at).filter(|order| order.gone.is_none() && order.status != "CANCELLED");
            if let Some((id, change)) = living.map(|order| (order.id.clone(), self.any_change())) {
                seller.change(&id, &change, &mut context, false);
            }
        }
    }

    fn draws(&mut self, percent: u64) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn any_change(&mut self) -> Change {
        match self.random.random_range(0..10) {
            0 => Change::Surcharge,
            1 => Change::MoveAddress,
            2 => Change::BuyerCancel,
            3 => Change::Return,
            4 => Change::Sent("ALL".to_owned()),
            5 | 6 => Change::Fulfill("PROCESSING".to_owned()),
            7 | 8 => Change::Fulfill("SENT".to_owned()),
            _ => Change::Fulfill("PICKED_UP".to_owned()),
        }
    }
}
