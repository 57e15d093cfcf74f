//! Everything the sandbox remembers, behind one lock that is held for microseconds.

pub(crate) mod clock;
pub(crate) mod faults;
pub(crate) mod generator;
pub(crate) mod journal;
pub(crate) mod orders;
pub(crate) mod tokens;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use faults::Faults;
use orders::Seller;
use tokens::Tokens;

use crate::Settings;

/// The first seller's id; the others follow.
const FIRST_SELLER: u64 = 1_000_001;

/// The sandbox.
pub(crate) struct World {
    pub(crate) settings: Settings,
    state: Mutex<State>,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) sellers: Vec<Seller>,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Faults,
    pub(crate) auto_approve: bool,
    pub(crate) live: Option<Live>,
    /// Requests by `METHOD route` and status.
    pub(crate) requests: BTreeMap<String, BTreeMap<u16, u64>>,
    /// The journal's last event id; ids grow over all sellers.
    pub(crate) last_event: u64,
}

/// Orders arriving by themselves.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) wanted: u64,
    pub(crate) emitted: u64,
    pub(crate) run: u64,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let state = State {
            sellers: vec![Seller::new(FIRST_SELLER.to_string(), "sklep-zielony".to_owned())],
            tokens: Tokens::of(settings.client_id.clone()),
            faults: Faults::default(),
            auto_approve: settings.auto_approve,
            live: None,
            requests: BTreeMap::new(),
            last_event: 0,
        };
        Self { settings, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new seller's id.
    pub(crate) fn add_seller(&mut self, login: Option<String>) -> &Seller {
        let number = FIRST_SELLER + u64::try_from(self.sellers.len()).unwrap_or_default();
        let login = login.unwrap_or_else(|| format!("sklep-{number}"));
        self.sellers.push(Seller::new(number.to_string(), login));
        // Just pushed.
        self.sellers.last().unwrap_or_else(|| unreachable!("a seller was pushed"))
    }

    /// The seller named, or the first one.
    pub(crate) fn seller(&self, id: Option<&str>) -> Option<&Seller> {
        match id {
            None => self.sellers.first(),
            Some(id) => self.sellers.iter().find(|seller| seller.id == id),
        }
    }

    /// The seller named, or the first one, and the event counter.
    pub(crate) fn seller_mut(&mut self, id: Option<&str>) -> Option<(&mut Seller, &mut u64)> {
        let seller = match id {
            None => self.sellers.first_mut(),
            Some(id) => self.sellers.iter_mut().find(|seller| seller.id == id),
        };
        seller.map(|seller| (seller, &mut self.last_event))
    }
}
