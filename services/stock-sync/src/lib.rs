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

use std::sync::Arc;
use std::time::Duration;

use ::domain::topology::STOCK_SYNC;
use ::domain::{SystemClock, UuidV7Source};
use ::tasks::schedules::NewSchedule;
use ::tasks::{Handlers, Runner, Scheduler, Timing};
use alerts::{Sender, Telegram};
use chassis::config::{Alerts, Database, Reader};
use chassis::{Commands, ServeContext, Service};
use clients::AllegroBackup;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use messaging::dead::DeadCommand;
use messaging::{Broker, Consumer, FORGET_FACTS, Relay};
use pg::sealed::Keyring;
use pg::{RotateKeys, Schema};
use secrecy::SecretString;
use url::Url;
use web::{FORGET_ANSWERS, Health, Idempotency};

use crate::app::marker::Marker;
use crate::app::reconcile::Reconcile;
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
        commands.add("dead", async |config: Config, dead: DeadCommand| {
            Ok(dead.run(Broker::new(&config.amqp.url, Self::NAME)?, Self::NAME).await?)
        });
        commands.add("rotate-keys", async |config: Config, rotate: RotateKeys| {
            let keyring = Keyring::new(config.encryption.into_keys())?;
            Ok(rotate.run(&config.database.url, &keyring, &[web::idempotency::SEALED]).await?)
        });
        commands.add("verify", async |config: Config, verify: VerifyCommand| {
            let place = (&config.database, config.backup_url, config.backup_key);
            verify.run(&open(place, config.settings)?).await
        });
    }

    async fn serve(config: Config, context: ServeContext) -> anyhow::Result<()> {
        let life = context.lifecycle.clone();
        let broker = Broker::new(&config.amqp.url, Self::NAME)?;
        let place = (&config.database, config.backup_url, config.backup_key);
        let state = open(place, config.settings)?;
        let pool = state.pool.clone();
        let keyring = Keyring::new(config.encryption.into_keys())?;
        let guard = pool.guard(&SCHEMA, &keyring).await?;
        life.spawn_beside("database guard", |end| guard.run(end));
        let idempotency = Idempotency::new(pool.clone(), keyring, Arc::clone(&state.clock));
        if context.roles.worker {
            let orders = Orders(state.clone());
            let (consumer, stop) =
                (CONSUMER.run(broker.clone(), pool.clone(), orders, life.stopping()), life.stopping());
            let ready = state.clone();
            life.spawn("consumer", async move {
                app::warehouses::until_default_is_there(&ready, &stop).await;
                consumer.await;
            });
            life.spawn("marker", Marker(state.clone()).run(life.stopping()));
            let task_state = Arc::new(state.clone());
            let handlers = Handlers::new()
                .with::<Reconcile>(Arc::clone(&task_state))
                .with::<Monitor>(Arc::clone(&task_state))
                .with::<VerifyLedger>(task_state);
            let settings = ::tasks::Settings {
                workers: config.workers,
                queues: context.queues.clone(),
                ..::tasks::Settings::default()
            };
            let runner = Runner::new(pool.clone(), handlers, settings);
            life.spawn("tasks", runner.run(life.stopping()));
            life.spawn("watch", app::watch::watch(state.clone(), life.stopping()));
            let sender = Sender::new(pool.clone(), alert_settings(config.alerts))?;
            life.spawn("alerts", sender.run(life.stopping()));
            let relay = Relay::new(Self::NAME, config.database.url, broker.clone());
            life.spawn("relay", relay.run(life.stopping()));
            let forgets = vec![
                FORGET_ANSWERS,
                FORGET_FACTS,
                ::tasks::FORGET,
                alerts::FORGET,
                retention::FORGET_DONE,
                retention::FORGET_FAILED,
                retention::FORGET_FINDINGS,
                retention::FORGET_RUNS,
            ];
            life.spawn("housekeeping", pg::housekeeping(pool.clone(), forgets, life.stopping()));
        }
        if context.roles.scheduler {
            let Settings { reconcile, watch, .. } = &*state.settings;
            let schedules = vec![
                NewSchedule::of_service(&Reconcile::default(), Timing::every(reconcile.every)),
                NewSchedule::of_service(&Monitor {}, Timing::every(watch.every)),
                NewSchedule::of_service(&VerifyLedger {}, Timing::every(Duration::from_hours(1))),
            ];
            let scheduler = Scheduler::new(pool.clone(), Arc::clone(&state.ids), schedules);
            life.spawn("scheduler", scheduler.run(life.stopping()));
        }
        let health = Health::new()
            .required("postgres", &pool, |pool| async move { pool.ping().await })
            .required("rabbitmq", &broker, |broker| async move { broker.ping().await });
        let redis = config.redis.as_ref().map(|redis| &redis.url);
        Ok(web::listen::<Self>(context, redis, |server| {
            server
                .health(health)
                .state(state)
                .state(idempotency)
                .routes(move |routes| api::routes(routes, &pool))
        })?)
    }
}

/// What every part of the service works with.
fn open(
    (database, backup_url, backup_key): (&Database, Url, SecretString),
    settings: Settings,
) -> anyhow::Result<State> {
    Ok(State {
        pool: pg::Pool::new(&database.url, database.pool_size, StockSync::NAME)?,
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidV7Source),
        settings: Arc::new(settings),
        backup: AllegroBackup::new(backup_url, backup_key, StockSync::NAME)?,
        to_mark: Arc::default(),
        rush: Arc::default(),
        default_is_there: Arc::default(),
    })
}

fn alert_settings(alerts: Alerts) -> alerts::Settings {
    let Alerts { telegram, language, quiet_hours, time_zone } = alerts;
    let telegram = telegram.map(|it| Telegram { url: it.url, token: it.token, chats: it.chats });
    alerts::Settings { service: StockSync::NAME, telegram, language, quiet_hours, time_zone }
}
