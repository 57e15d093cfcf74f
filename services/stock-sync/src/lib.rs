//! stock-sync: stock follows sales, exactly once.
//!
//! Owns the schema `stock_sync`. It promises that each sold unit leaves the warehouse once and comes back once when it is
//! cancelled, and that the order is marked at allegro-backup: movements, levels, operations and facts commit together, and
//! every step can be done again.

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
use chassis::config::{Reader, Redis};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use messaging::Consumer;
use pg::{Schema, SealedTable};
use runtime::{Infra, Parts, Service};
use web::Routes;

use crate::app::marker::Marker;
use crate::app::reconcile::Reconcile;
use crate::app::{warehouses, watch};
use crate::commands::VerifyCommand;
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

/// Facts it wants to know.
const CONSUMER: Consumer = Consumer { subscriber: STOCK_SYNC, batch: 500 };

/// The service.
#[derive(Debug)]
pub struct StockSync;

impl Service for StockSync {
    const NAME: &'static str = "stock-sync";
    const ABOUT: &'static str = "Takes what is sold from the stock, and puts back what is cancelled";
    const DEFAULT_PORT: u16 = 8002;
    const SCHEMA: &'static Schema = &SCHEMA;
    const SEALED: &'static [SealedTable] = &[web::idempotency::SEALED];
    const SUBSCRIBER: Option<Subscriber> = Some(STOCK_SYNC);
    const ROUTES: Routes = api::ROUTES;
    type Config = Config;
    type State = State;

    fn read_config(reader: &mut Reader) -> Config {
        Config::read(reader)
    }

    fn redis(config: &Config) -> Option<&Redis> {
        config.redis.as_ref()
    }

    fn commands(commands: &mut Commands<runtime::Settings<Config>>) {
        commands.add("verify", async |settings: runtime::Settings<Config>, verify: VerifyCommand| {
            let (config, infra) = settings.open::<Self>()?;
            verify.run(&State::new(config, infra)?).await
        });
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
