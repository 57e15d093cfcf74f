//! stock-sync: deducts sold units from stock, exactly once.
//!
//! Owns the schema `stock_sync`. It guarantees that each sold unit is deducted once and refunded once when its order is
//! cancelled, and that the order is flagged at allegro-backup. Movements, levels, operations and events commit together,
//! and every step can be repeated.

mod api;
mod app;
mod commands;
mod config;
mod consumers;
mod domain;
mod settings;
mod state;
mod store;
mod tasks;

use std::time::Duration;

use ::domain::topology::{STOCK_SYNC, Subscriber};
use ::tasks::Timing;
use chassis::Commands;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use messaging::Consumer;
use pg::{Schema, SealedTable};
use runtime::{Infra, Parts, Service};
use web::Routes;

use crate::app::marker::Marker;
use crate::app::reconcile::Reconcile;
use crate::app::{warehouses, watch};
pub use crate::config::Config;
use crate::consumers::Orders;
use crate::settings::Settings;
use crate::state::State;
use crate::store::retention;
use crate::tasks::{Monitor, VerifyLedger};

/// The schema.
pub static MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/stock_sync");

/// The migrations and their columns.
static SCHEMA: Schema = Schema::new(&MIGRATIONS, include_str!("../../../migrations/stock_sync/columns.txt"));

/// The events it consumes.
const CONSUMER: Consumer = Consumer { subscriber: STOCK_SYNC, batch: 500 };

/// The service.
#[derive(Debug)]
pub struct StockSync;

impl Service for StockSync {
    const NAME: &'static str = "stock-sync";
    const ABOUT: &'static str = "Deducts sold units from stock, and refunds cancelled ones";
    const DEFAULT_PORT: u16 = 8002;
    const SCHEMA: &'static Schema = &SCHEMA;
    const SEALED: &'static [SealedTable] = &[web::idempotency::SEALED];
    const SUBSCRIBER: Option<Subscriber> = Some(STOCK_SYNC);
    const ROUTES: Routes = api::ROUTES;
    type Config = Config;
    type State = State;

    fn commands(commands: &mut Commands<runtime::Settings<Config>>) {
        commands::add(commands);
    }

    fn parts(config: Config, infra: Infra) -> anyhow::Result<Parts<State>> {
        let workers = config.workers;
        let state = State::new(config, infra)?;
        let (ready, marked, watched) = (state.clone(), state.clone(), state.clone());
        let settings = state.settings.clone();
        let Settings { reconcile, watch, .. } = &*settings;
        Ok(Parts::new(state.clone(), workers)
            .consumer_after(CONSUMER, Orders(state), async move |stop| {
                warehouses::until_default_is_there(&ready, &stop).await;
            })
            .worker("marker", |stop| Marker(marked).run(stop))
            .worker("watch", |stop| watch::watch(watched, stop))
            .schedule(&Reconcile::default(), Timing::every(reconcile.every))
            .schedule(&Monitor {}, Timing::every(watch.every))
            .schedule(&VerifyLedger {}, Timing::every(Duration::from_hours(1)))
            .retain(retention::POLICIES))
    }
}
