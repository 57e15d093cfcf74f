//! The state of the sandbox, behind one lock that is held for microseconds.

pub(crate) mod arrival;
pub(crate) mod change;
pub(crate) mod clock;
pub(crate) mod faults;
pub(crate) mod generator;
mod index;
pub(crate) mod journal;
mod jwt;
pub(crate) mod limits;
pub(crate) mod live;
pub(crate) mod offers;
pub(crate) mod orders;
pub(crate) mod rules;
pub(crate) mod tokens;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use time::OffsetDateTime;

use clock::Clock;
use faults::Faults;
use journal::JournalContext;
pub(crate) use jwt::is_like as is_like_a_token;
use limits::Limits;
use live::Live;
use offers::Commands;
use orders::Seller;
use rules::Rules;
use tokens::{Desk, Tokens};

use crate::Settings;

/// The first seller's id. The others follow.
const FIRST_SELLER: u64 = 1_000_001;

/// The sandbox.
pub(crate) struct World {
    pub(crate) settings: Settings,
    state: Mutex<State>,
}

/// The state that the lock protects.
pub(crate) struct State {
    pub(crate) sellers: Vec<Seller>,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) rules: Rules,
    /// The initial rules, which the admin interface restores.
    pub(crate) first_rules: Rules,
    pub(crate) clock: Clock,
    pub(crate) commands: Commands,
    pub(crate) live: Option<Live>,
    /// Requests by `METHOD route` and status.
    pub(crate) requests: BTreeMap<String, BTreeMap<u16, u64>>,
    random: StdRng,
}

impl World {
    /// A new world. The error describes the invalid setting.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let given = Rules::default().changed(&json!({ "auth": {
            "auto_approve": settings.auto_approve,
            "device_interval_seconds": settings.device_interval,
            "access_token_seconds": settings.access_token_seconds,
            "refresh_grace_seconds": settings.refresh_grace_seconds,
        } }))?;
        let rules = given.changed(&settings.rules)?;
        let seed = settings.seed.unwrap_or_else(generator::any_seed);
        let state = State {
            sellers: vec![Seller::new(FIRST_SELLER.to_string(), "sklep-zielony".to_owned())],
            tokens: Tokens::default(),
            faults: Faults::default(),
            limits: Limits::default(),
            first_rules: rules.clone(),
            rules,
            clock: settings.start.map(Clock::showing).unwrap_or_default(),
            commands: Commands::default(),
            live: None,
            requests: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
        };
        Ok(Self { settings, state: Mutex::new(state) })
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

    /// The named seller, or the first one.
    pub(crate) fn seller(&self, id: Option<&str>) -> Option<&Seller> {
        self.sellers.get(place(id)?)
    }

    /// The named seller, or the first one, and the parameters of its journal.
    pub(crate) fn seller_mut(&mut self, id: Option<&str>) -> Option<(&mut Seller, JournalContext<'_>)> {
        let seller = self.sellers.get_mut(place(id)?)?;
        let context =
            JournalContext { rules: &self.rules.journal, random: &mut self.random, now: self.clock.now() };
        Some((seller, context))
    }

    /// The seller of an order.
    pub(crate) fn owner(&self, order: &str) -> Option<String> {
        self.sellers.iter().find(|seller| seller.find(order).is_some()).map(|seller| seller.id.clone())
    }

    /// The tokens, and the parameters of issuing them.
    pub(crate) fn desk<'a>(&'a mut self, client_id: &'a str) -> (&'a mut Tokens, Desk<'a>) {
        let (rules, now) = (&self.rules.auth, self.clock.now());
        (&mut self.tokens, Desk { rules, random: &mut self.random, now, client_id })
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

/// Index of a seller: ids are consecutive.
fn place(id: Option<&str>) -> Option<usize> {
    let Some(id) = id else { return Some(0) };
    usize::try_from(id.parse::<u64>().ok()?.checked_sub(FIRST_SELLER)?).ok()
}
