//! allegro-backup: stores every order of every connected account.
//!
//! Owns the schema `allegro_backup` and is the only service that calls Allegro. It guarantees that no order that Allegro
//! ever returned is lost by a crash: orders, their events and checkpoints commit together, and every step can be
//! repeated.

// Futures nest deeper than the compiler's default of 128: a task, its panic guard, a transaction and its retries.
#![recursion_limit = "256"]

mod api;
mod app;
mod clients;
mod commands;
mod config;
mod domain;
mod settings;
mod state;
mod store;
mod tasks;

use chassis::Commands;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use pg::{Schema, SealedTable};
use runtime::{Infra, Parts, Service, Settings};
use web::Routes;

pub use crate::config::Config;
use crate::state::State;

/// The schema.
pub static MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/allegro_backup");

/// The migrations and their columns.
static SCHEMA: Schema =
    Schema::new(&MIGRATIONS, include_str!("../../../migrations/allegro_backup/columns.txt"));

/// The service.
#[derive(Debug)]
pub struct AllegroBackup;

impl Service for AllegroBackup {
    const NAME: &'static str = "allegro-backup";
    const ABOUT: &'static str = "Backs up every order of every connected Allegro account";
    const DEFAULT_PORT: u16 = 8001;
    const SCHEMA: &'static Schema = &SCHEMA;
    const SEALED: &'static [SealedTable] = &store::SEALED;
    const ROUTES: Routes = api::ROUTES;
    const TASKS_AT: &'static str = "/sync";
    type Config = Config;
    type State = State;

    fn commands(commands: &mut Commands<Settings<Config>>) {
        commands::add(commands);
    }

    fn parts(config: Config, infra: Infra) -> anyhow::Result<Parts<State>> {
        let (workers, task_silence) = (config.workers, config.task_silence);
        let refresh_interval = config.refresh_interval;
        let state = State::new(config, infra)?;
        let (watched, reached, allegro) = (state.clone(), state.allegro.clone(), state.allegro.clone());
        let (pause, sync) = (state.pause.clone(), state.sync.clone());
        let parts = Parts::new(state, workers)
            .task_silence(task_silence)
            .worker("watch", |stop| app::watch::watch(watched, stop))
            .everywhere("reach", |stop| reached.watch(stop))
            .health(|health| {
                health
                    // Without Redis each replica pauses for itself: worse, not broken.
                    .optional("redis", &pause, |pause| async move { pause.ping().await })
                    // What is stored is served without it.
                    .optional("allegro", &allegro, |allegro| async move { allegro.reachable() })
            });
        Ok(tasks::declare(parts, &sync, refresh_interval))
    }
}
