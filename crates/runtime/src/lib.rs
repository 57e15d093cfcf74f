//! Assembles a service: relay, consumer, tasks, schedules, alerts, retention, health checks, idempotency, rate limits, the
//! database guard, the HTTP server, and the commands `migrate`, `dead` and `rotate-keys`.
//!
//! A service declares only its own parts ([`Service`], [`Parts`]); its `main` is one line, [`run`].

mod dead_letters;
mod infra;
mod parts;
mod platform;
mod serve;

use std::marker::PhantomData;
use std::process::ExitCode;

use chassis::Commands;
use chassis::config::Reader;
use domain::topology::Subscriber;
use messaging::Broker;
use messaging::dead::DeadCommand;
use pg::sealed::Keyring;
use pg::{RotateKeys, Schema, SealedTable};
use web::Routes;

pub use dead_letters::MessagesAreDead;
pub use infra::Infra;
pub use parts::Parts;
pub use platform::{Platform, ServiceConfig, Settings};

/// The declaration of a service.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its name, e.g. "allegro-backup": its settings begin with `ALLEGRO_BACKUP_`, its binary is
    /// `zaplecze-allegro-backup`.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// Default of `API_PORT`.
    const DEFAULT_PORT: u16;
    /// Its migrations, and the columns that result.
    const SCHEMA: &'static Schema;
    /// Its sealed columns, for `rotate-keys`.
    const SEALED: &'static [SealedTable];
    /// Its subscriber, when it consumes events. `dead` reads the dead letters of its queue.
    const SUBSCRIBER: Option<Subscriber> = None;
    /// Its routes below `/api/v1`.
    const ROUTES: Routes;
    /// Path of the routes of tasks and schedules below `/api/v1`, such as `/sync`.
    const TASKS_AT: &'static str = "";
    /// Whether the planner always prefers an index ([`pg::Pool::by_index`]).
    const BY_INDEX: bool = false;
    /// Its own settings.
    type Config: ServiceConfig;
    /// The state of its handlers and tasks.
    type State: Clone + Send + Sync + 'static;

    /// Its OpenAPI document as pretty JSON.
    fn openapi() -> String {
        let document = (Self::ROUTES.document)();
        let document = document.nest(format!("/api/v1{}", Self::TASKS_AT), tasks::http::openapi());
        web::openapi::to_json(document, &[Self::ROUTES.codes, tasks::http::CODES].concat())
    }

    /// Adds its own commands.
    fn commands(_commands: &mut Commands<Settings<Self::Config>>) {}

    /// Builds the state and declares everything that runs.
    ///
    /// # Errors
    /// A setting cannot be used, so that the service cannot start.
    fn parts(config: Self::Config, infra: Infra) -> anyhow::Result<Parts<Self::State>>;
}

/// The program: parses the command line and runs the command.
///
/// Exit codes: 0 success, 1 failure, 2 invalid command line or configuration.
pub fn run<S: Service>() -> ExitCode {
    chassis::run::<Assembled<S>>()
}

/// Adapts a [`Service`] to the chassis.
#[derive(Debug)]
struct Assembled<S>(PhantomData<S>);

impl<S: Service> chassis::Service for Assembled<S> {
    const NAME: &'static str = S::NAME;
    const ABOUT: &'static str = S::ABOUT;
    const DEFAULT_PORT: u16 = S::DEFAULT_PORT;
    type Config = Settings<S::Config>;

    fn read_config(reader: &mut Reader) -> Self::Config {
        Settings { platform: Platform::read(reader), own: S::Config::read(reader) }
    }

    fn openapi() -> String {
        S::openapi()
    }

    async fn migrate(config: &Self::Config) -> anyhow::Result<()> {
        Ok(S::SCHEMA.migrate(&config.platform.database.url).await?)
    }

    fn commands(commands: &mut Commands<Self::Config>) {
        S::commands(commands);
        if S::SUBSCRIBER.is_some() {
            commands.add("dead", async |config: Self::Config, dead: DeadCommand| {
                Ok(dead.run(Broker::new(&config.platform.amqp.url, S::NAME)?, S::NAME).await?)
            });
        }
        commands.add("rotate-keys", async |config: Self::Config, rotate: RotateKeys| {
            let keyring = Keyring::new(config.platform.encryption.into_keys())?;
            Ok(rotate.run(&config.platform.database.url, &keyring, S::SEALED).await?)
        });
    }

    async fn serve(config: Self::Config, context: chassis::ServeContext) -> anyhow::Result<()> {
        serve::serve::<S>(config, context).await
    }
}
