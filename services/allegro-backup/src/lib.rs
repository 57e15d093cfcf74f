//! allegro-backup: every order of every connected account, kept for ever.
//!
//! Owns the schema `allegro_backup` and is the only service that talks to Allegro. It promises that an order Allegro
//! ever showed us is never lost, whatever dies: orders, facts about them and checkpoints commit together, and every
//! step can be done again.

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

use std::sync::Arc;
use std::time::Duration;

use ::domain::{SystemClock, UuidV7Source};
use ::tasks::{Runner, Scheduler, Settings};
use alerts::{Sender, Telegram};
use chassis::config::{Alerts, Database, Encryption, Reader, Redis};
use chassis::{Commands, ServeContext, Service};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use messaging::{Broker, Relay};
use pg::Schema;
use pg::sealed::Keyring;
use web::{FORGET_ANSWERS, Health, Idempotency};

use crate::clients::allegro::{
    AllegroClient, Application, Limits, Pause, Quotas, REQUEST_TIMEOUT, UserAgent,
};
pub use crate::config::Config;
use crate::settings::SyncSettings;
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
    type Config = Config;

    fn read_config(reader: &mut Reader) -> Config {
        Config::read(reader)
    }

    fn openapi() -> String {
        api::openapi()
    }

    async fn migrate(config: &Config) -> anyhow::Result<()> {
        Ok(SCHEMA.migrate(&config.database.url).await?)
    }

    fn commands(commands: &mut Commands<Config>) {
        commands::add(commands);
    }

    async fn serve(config: Config, context: ServeContext) -> anyhow::Result<()> {
        let life = context.lifecycle.clone();
        let broker = Broker::new(&config.amqp.url, Self::NAME)?;
        let pause = Pause::new(&config.redis.url, &config.application.client_id)?;
        let refresh_interval = config.refresh_interval;
        let talk = Talk {
            application: config.application,
            user_agent: config.user_agent,
            pause: pause.clone(),
            quotas: config.quotas,
            refresh_margin: config.refresh_margin,
        };
        let state = open(&config.database, config.encryption, &config.redis, talk, config.sync)?;
        let pool = state.pool.clone();
        let guard = pool.guard(&SCHEMA, &state.keyring).await?;
        life.spawn_beside("database guard", |end| guard.run(end));
        if context.roles.worker {
            let handlers = tasks::handlers(&Arc::new(state.clone()));
            let settings = Settings {
                workers: config.workers,
                queues: context.queues.clone(),
                silence: config.task_silence,
                ..Settings::default()
            };
            let runner = Runner::new(pool.clone(), handlers, settings);
            life.spawn("tasks", runner.run(life.stopping()));
            life.spawn("watch", app::watch::watch(state.clone(), life.stopping()));
            let sender = Sender::new(pool.clone(), alert_settings(config.alerts))?;
            life.spawn("alerts", sender.run(life.stopping()));
            let relay = Relay::new(Self::NAME, config.database.url, broker.clone());
            life.spawn("relay", relay.run(life.stopping()));
        }
        if context.roles.scheduler {
            let schedules = tasks::schedules(&state.sync, refresh_interval);
            let scheduler = Scheduler::new(pool.clone(), Arc::clone(&state.ids), schedules);
            life.spawn("scheduler", scheduler.run(life.stopping()));
        }
        let idempotency = Idempotency::new(pool.clone(), state.keyring.clone(), Arc::clone(&state.clock));
        if context.roles.worker {
            let forgets = vec![FORGET_ANSWERS, ::tasks::FORGET, alerts::FORGET];
            life.spawn("housekeeping", pg::housekeeping(pool.clone(), forgets, life.stopping()));
        }
        life.spawn("reach", state.allegro.clone().watch(life.stopping()));
        let health = Health::new()
            .required("postgres", &pool, |pool| async move { pool.ping().await })
            .required("rabbitmq", &broker, |broker| async move { broker.ping().await })
            // Without Redis each replica pauses for itself: worse, not broken.
            .optional("redis", &pause, |pause| async move { pause.ping().await })
            // What is stored is served without it.
            .optional("allegro", &state.allegro, |allegro| async move { allegro.reachable() });
        Ok(web::listen::<Self>(context, Some(&config.redis.url), |server| {
            server
                .health(health)
                .state(state)
                .state(idempotency)
                .routes(move |routes| api::routes(routes, &pool))
        })?)
    }
}

/// What every part of the service works with, for a command.
fn state_of(config: Config) -> anyhow::Result<State> {
    let pause = Pause::new(&config.redis.url, &config.application.client_id)?;
    let talk = Talk {
        application: config.application,
        user_agent: config.user_agent,
        pause,
        quotas: config.quotas,
        refresh_margin: config.refresh_margin,
    };
    open(&config.database, config.encryption, &config.redis, talk, config.sync)
}

/// How Allegro is talked to.
struct Talk {
    application: Application,
    user_agent: UserAgent,
    pause: Pause,
    quotas: Quotas,
    refresh_margin: Duration,
}

fn open(
    database: &Database,
    encryption: Encryption,
    redis: &Redis,
    talk: Talk,
    sync: SyncSettings,
) -> anyhow::Result<State> {
    let limits = Limits::new(&redis.url, &talk.application.client_id, talk.quotas)?;
    let http = egress::client(&egress::Settings {
        user_agent: talk.user_agent.to_string(),
        connect_timeout: Duration::from_secs(3),
        timeout: REQUEST_TIMEOUT,
    })?;
    Ok(State {
        pool: pg::Pool::new(&database.url, database.pool_size, AllegroBackup::NAME)?,
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidV7Source),
        keyring: Keyring::new(encryption.into_keys())?,
        allegro: AllegroClient::new(http, talk.application, talk.pause, limits),
        sync: Arc::new(sync),
        refresh_margin: talk.refresh_margin,
    })
}

fn alert_settings(alerts: Alerts) -> alerts::Settings {
    let Alerts { telegram, language, quiet_hours, time_zone } = alerts;
    let telegram = telegram.map(|it| Telegram { url: it.url, token: it.token, chats: it.chats });
    alerts::Settings { service: AllegroBackup::NAME, telegram, language, quiet_hours, time_zone }
}
