//! webhook-dispatcher: delivers events as signed webhooks.
//!
//! Owns the schema `webhook_dispatcher`. It guarantees that an accepted event is delivered at least once, signed, to every
//! subscription that matches it, or that the owner can see the reason why not; and that a slow or hostile receiver affects
//! no other.

mod api;
mod app;
mod config;
mod consumers;
mod dispatch;
mod domain;
mod state;
mod store;
mod tasks;

use std::time::Duration;

use ::domain::topology::{Subscriber, WEBHOOK_DISPATCHER};
use ::tasks::Timing;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use egress::ssrf::Guard;
use messaging::Consumer;
use pg::{Schema, SealedTable};
use runtime::{Infra, Parts, Service};
use web::Routes;

use crate::app::gauges;
use crate::app::replays::{CancelDeliveries, ReplayDeliveries};
pub use crate::config::Config;
use crate::consumers::FanOut;
use crate::dispatch::{Dispatcher, Load};
use crate::state::State;
use crate::tasks::ApplyRetention;

/// The schema.
pub static MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/webhook_dispatcher");

/// The migrations and their columns.
static SCHEMA: Schema =
    Schema::new(&MIGRATIONS, include_str!("../../../migrations/webhook_dispatcher/columns.txt"));

/// The consumer of all events.
const CONSUMER: Consumer = Consumer { subscriber: WEBHOOK_DISPATCHER, batch: 500 };

/// The service.
#[derive(Debug)]
pub struct WebhookDispatcher;

impl Service for WebhookDispatcher {
    const NAME: &'static str = "webhook-dispatcher";
    const ABOUT: &'static str = "Delivers events as signed webhooks";
    const DEFAULT_PORT: u16 = 8006;
    const SCHEMA: &'static Schema = &SCHEMA;
    const SEALED: &'static [SealedTable] = &store::SEALED;
    const SUBSCRIBER: Option<Subscriber> = Some(WEBHOOK_DISPATCHER);
    const ROUTES: Routes = api::ROUTES;
    const BY_INDEX: bool = true;
    type Config = Config;
    type State = State;

    fn parts(config: Config, infra: Infra) -> anyhow::Result<Parts<State>> {
        let Config { rules, keep, outside_types, name_servers, max_window, workers, .. } = config;
        let (guard, outside_types) = (Guard::new(rules), outside_types.into());
        let state = State { infra, guard, keep, outside_types, load: Load::default() };
        let (sender, scanned, measured) = (state.clone(), state.clone(), state.clone());
        let (dispatcher, jobs) = Dispatcher::new();
        let fan_out = FanOut::new(state.clone(), dispatcher.clone());
        Ok(Parts::new(state, workers)
            .worker("dispatcher", async move |stop| -> anyhow::Result<()> {
                let clients = dispatch::clients(&sender.guard, &name_servers)?;
                dispatch::run(sender, clients, max_window, jobs, stop).await;
                Ok(())
            })
            .worker("scanner", |stop| dispatch::scan(scanned, dispatcher, dispatch::POLL, stop))
            .worker("gauges", |stop| gauges::measure(measured, stop))
            .consumer(CONSUMER, fan_out)
            .task::<ReplayDeliveries>()
            .task::<CancelDeliveries>()
            .schedule(&ApplyRetention {}, Timing::every(Duration::from_hours(1))))
    }
}
