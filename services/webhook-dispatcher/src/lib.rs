//! webhook-dispatcher: signed webhooks that always arrive.
//!
//! Owns the schema `webhook_dispatcher`. It promises that once an event is accepted, every subscription that wants it
//! gets it at least once, signed, or its owner can see exactly why not; and that one slow or hostile receiver harms
//! nobody else.

mod api;
mod app;
mod config;
mod consumers;
mod dispatch;
mod domain;
mod state;
mod store;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use ::domain::topology::WEBHOOK_DISPATCHER;
use ::domain::{SystemClock, UuidV7Source};
use ::tasks::schedules::NewSchedule;
use ::tasks::{Handlers, Runner, Scheduler, Settings, Timing};
use alerts::{Sender, Telegram};
use chassis::config::{Alerts, Reader};
use chassis::{Commands, ServeContext, Service};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use egress::ssrf::{Guard, Resolver};
use messaging::dead::DeadCommand;
use messaging::{Broker, Consumer, FORGET_FACTS, Relay};
use pg::sealed::Keyring;
use pg::{RotateKeys, Schema};
use web::{FORGET_ANSWERS, Health, Idempotency};

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

/// Every fact that is told.
const CONSUMER: Consumer = Consumer { subscriber: WEBHOOK_DISPATCHER, batch: 500 };

/// No attempt may take longer, whatever its subscription says.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(30);

/// The service.
#[derive(Debug)]
pub struct WebhookDispatcher;

impl Service for WebhookDispatcher {
    const NAME: &'static str = "webhook-dispatcher";
    const ABOUT: &'static str = "Delivers events as signed webhooks";
    const DEFAULT_PORT: u16 = 8006;
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
            Ok(rotate.run(&config.database.url, &keyring, &store::SEALED).await?)
        });
    }

    async fn serve(config: Config, context: ServeContext) -> anyhow::Result<()> {
        let life = context.lifecycle.clone();
        let pool = pg::Pool::by_index(&config.database.url, config.database.pool_size, Self::NAME)?;
        let broker = Broker::new(&config.amqp.url, Self::NAME)?;
        let state = State {
            pool: pool.clone(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7Source),
            keyring: Keyring::new(config.encryption.into_keys())?,
            guard: Guard::new(config.rules),
            keep: config.keep,
            outside_types: config.outside_types.into(),
            load: Load::default(),
        };
        let guard = pool.guard(&SCHEMA, &state.keyring).await?;
        life.spawn_beside("database guard", |end| guard.run(end));
        if context.roles.worker {
            let settings = egress::Settings {
                user_agent: concat!("Zaplecze-Webhooks/", env!("CARGO_PKG_VERSION")).to_owned(),
                connect_timeout: LONGEST_ATTEMPT,
                timeout: LONGEST_ATTEMPT,
            };
            let resolver = Resolver::new(state.guard.clone(), &config.name_servers)?;
            let clients = egress::Clients::new(settings, resolver)?;
            let (dispatcher, jobs) = Dispatcher::new();
            let dispatching = dispatch::run(state.clone(), clients, config.max_window, jobs, life.stopping());
            life.spawn("dispatcher", dispatching);
            let scanner = dispatch::scan(state.clone(), dispatcher.clone(), dispatch::POLL, life.stopping());
            life.spawn("scanner", scanner);
            let fan_out = FanOut::new(state.clone(), dispatcher);
            let task_state = Arc::new(state.clone());
            let handlers = Handlers::new()
                .with::<ReplayDeliveries>(Arc::clone(&task_state))
                .with::<CancelDeliveries>(Arc::clone(&task_state))
                .with::<ApplyRetention>(task_state);
            let settings =
                Settings { workers: config.workers, queues: context.queues.clone(), ..Settings::default() };
            let runner = Runner::new(pool.clone(), handlers, settings);
            life.spawn("gauges", app::gauges::measure(state.clone(), life.stopping()));
            life.spawn("tasks", runner.run(life.stopping()));
            life.spawn("consumer", CONSUMER.run(broker.clone(), pool.clone(), fan_out, life.stopping()));
            let sender = Sender::new(pool.clone(), alert_settings(config.alerts))?;
            life.spawn("alerts", sender.run(life.stopping()));
            let relay = Relay::new(Self::NAME, config.database.url, broker.clone());
            life.spawn("relay", relay.run(life.stopping()));
        }
        if context.roles.scheduler {
            let hourly = Timing::every(Duration::from_hours(1));
            let schedules = vec![NewSchedule::of_service(&ApplyRetention {}, hourly)];
            let scheduler = Scheduler::new(pool.clone(), Arc::clone(&state.ids), schedules);
            life.spawn("scheduler", scheduler.run(life.stopping()));
        }
        let idempotency = Idempotency::new(pool.clone(), state.keyring.clone(), Arc::clone(&state.clock));
        if context.roles.worker {
            let forgets = vec![FORGET_ANSWERS, FORGET_FACTS, ::tasks::FORGET, alerts::FORGET];
            life.spawn("housekeeping", pg::housekeeping(pool.clone(), forgets, life.stopping()));
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

fn alert_settings(alerts: Alerts) -> alerts::Settings {
    let Alerts { telegram, language, quiet_hours, time_zone } = alerts;
    let telegram = telegram.map(|it| Telegram { url: it.url, token: it.token, chats: it.chats });
    alerts::Settings { service: WebhookDispatcher::NAME, telegram, language, quiet_hours, time_zone }
}
