//! The `Service` trait, and the commands of a service.

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use domain::{Misconfigured, PermanentError, backoff};
use tokio::runtime::Runtime;
use tracing::Level;

use crate::cli::{Cli, Command, ConfigCommand, Role, Serve, TokenCommand};
use crate::commands::{Commands, Work};
use crate::config::{self, Auth, Http, Log, Mistake, NearMiss, Reader};
use crate::lifecycle::{Lifecycle, Limits, Signals};
use crate::observe::{self, Observing};
use crate::waiting::Waiting;
use crate::{probe, token};

/// After the drain, blocking threads have this long before the process ends without them.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The parts of a binary that differ between services.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its name, e.g. "allegro-backup": its settings begin with `ALLEGRO_BACKUP_`, its binary is
    /// `zaplecze-allegro-backup`.
    const NAME: &'static str;
    /// One line for `--help`.
    const ABOUT: &'static str;
    /// Default of `API_PORT`.
    const DEFAULT_PORT: u16;
    /// Its settings.
    type Config: Send + Sync + 'static;

    /// Reads its own settings and the common sections that it needs. Settings of the log, HTTP and credentials are read
    /// by the chassis and passed in [`ServeContext`].
    fn read_config(reader: &mut Reader) -> Self::Config;

    /// Its OpenAPI document as pretty JSON.
    fn openapi() -> String;

    /// Applies its migrations.
    ///
    /// # Errors
    /// The database does not answer, or rejects a statement. `serve --migrate` retries, unless
    /// [`domain::PermanentError`] is among the causes.
    fn migrate(config: &Self::Config) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Adds the service's own commands.
    fn commands(_commands: &mut Commands<Self::Config>) {}

    /// Starts the service. It returns when the HTTP server is bound and everything is passed to [`Lifecycle::spawn`].
    /// An unavailable dependency is not an error: it is retried in the background.
    ///
    /// # Errors
    /// The service cannot start, and a retry would not help.
    fn serve(config: Self::Config, context: ServeContext) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Everything that a service gets to start.
#[derive(Debug)]
pub struct ServeContext {
    /// Announces the stop and runs background tasks.
    pub lifecycle: Lifecycle,
    /// The roles of this process.
    pub roles: Roles,
    /// Patterns of the queues whose tasks this process runs. `*` matches any characters.
    pub queues: Vec<String>,
    /// Accept requests without credentials. `http.host` is a loopback address then.
    pub insecure_local: bool,
    /// Settings of the HTTP server.
    pub http: Http,
    /// The credentials that are accepted.
    pub auth: Auth,
}

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Answers HTTP requests. Every role answers probes.
    pub api: bool,
    /// Consumes events and runs tasks.
    pub worker: bool,
    /// Starts due schedules.
    pub scheduler: bool,
}

impl Roles {
    fn of(roles: &[Role]) -> Self {
        let has = |role| roles.contains(&role);
        Self { api: has(Role::Api), worker: has(Role::Worker), scheduler: has(Role::Scheduler) }
    }
}

/// The reason why a command failed.
enum Failure {
    Configuration(Vec<Mistake>),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.chain().find_map(|cause| cause.downcast_ref::<Misconfigured>()) {
            Some(Misconfigured { setting, rule }) => {
                Self::Configuration(vec![Mistake { name: (*setting).to_owned(), text: rule.clone() }])
            }
            None => Self::Other(error),
        }
    }
}

/// All settings of a service.
struct Settings<C> {
    own: C,
    log: Log,
    traces: Option<telemetry::Settings>,
    http: Http,
    auth: Auth,
}

/// The program: parses the command line and runs the command.
///
/// Exit codes: 0 success, 1 failure, 2 invalid command line or configuration.
pub fn run<S: Service>() -> ExitCode {
    let program = program::<S>();
    let command = Cli::command()
        .display_name(program.clone())
        .bin_name(program.clone())
        .about(S::ABOUT)
        .mut_subcommand("config", |config| {
            config.mut_subcommand("check", |check| check.after_long_help(config::list(&declared::<S>())))
        });
    let mut own = Commands::default();
    S::commands(&mut own);
    let matches = own.describe(command).get_matches();
    let done = match own.chosen(&matches) {
        Some(work) => own_command::<S>(work),
        None => execute::<S>(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command),
    };
    match done {
        Ok(code) => code,
        Err(Failure::Configuration(mistakes)) => {
            config::print_mistakes(&program, &mistakes);
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            // A closed stderr is ignored. The exit code reports the failure.
            let _ = writeln!(io::stderr(), "{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The binary's name.
fn program<S: Service>() -> String {
    format!("zaplecze-{}", S::NAME)
}

fn execute<S: Service>(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(options) => return serve::<S>(&options),
        Command::Migrate => {
            let mut reader = Reader::of_process(S::NAME);
            let settings = read::<S>(&mut reader);
            let near_misses = reader.near_misses();
            reader.finish().map_err(Failure::Configuration)?;
            let _until_the_end = observing::<S>(settings.log, settings.traces)?;
            log_near_misses(&near_misses);
            runtime::<S>()?.block_on(S::migrate(&settings.own))?;
        }
        Command::HealthCheck => {
            let mut reader = Reader::of_process(S::NAME);
            let http = reader.http(S::DEFAULT_PORT);
            reader.finish_own().map_err(Failure::Configuration)?;
            probe::check(&http)?;
        }
        Command::Config(ConfigCommand::Check { list: true, json }) => {
            let reader = declared::<S>();
            let list = if json { config::list_json(&reader)? } else { config::list(&reader) };
            io::stdout().write_all(list.as_bytes())?;
        }
        Command::Config(ConfigCommand::Check { list: false, .. }) => {
            let mut reader = Reader::of_process(S::NAME);
            let settings = read::<S>(&mut reader);
            require_credential(&mut reader, &settings.auth);
            config::print_effective(&reader)?;
            config::print_near_misses(&program::<S>(), &reader.near_misses());
            reader.finish().map_err(Failure::Configuration)?;
        }
        Command::Openapi => io::stdout().write_all(S::openapi().as_bytes())?,
        Command::Token(TokenCommand::Issue(claims)) => {
            let mut reader = Reader::of_process(S::NAME);
            let secret = reader.jwt_secret(config::Absent::Required).unwrap_or_default();
            reader.finish_own().map_err(Failure::Configuration)?;
            writeln!(io::stdout(), "{}", token::issue(&claims, &secret)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Standard output belongs to the command. The log contains warnings and errors only.
fn own_command<S: Service>(work: Work<S::Config>) -> Result<ExitCode, Failure> {
    let mut reader = Reader::of_process(S::NAME);
    let mut settings = read::<S>(&mut reader);
    // On stderr, because the log uses standard output.
    config::print_near_misses(&program::<S>(), &reader.near_misses());
    reader.finish().map_err(Failure::Configuration)?;
    settings.log.level = settings.log.level.min(Level::WARN);
    let _until_the_end = observing::<S>(settings.log, settings.traces)?;
    runtime::<S>()?.block_on(work(settings.own))?;
    Ok(ExitCode::SUCCESS)
}

fn serve<S: Service>(options: &Serve) -> Result<ExitCode, Failure> {
    let mut reader = Reader::of_process(S::NAME);
    let Settings { own, log, traces, mut http, auth } = read::<S>(&mut reader);
    if options.insecure_local {
        if !http.host.is_loopback() {
            http.host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        }
    } else {
        require_credential(&mut reader, &auth);
    }
    let near_misses = reader.near_misses();
    reader.finish().map_err(Failure::Configuration)?;
    let _until_the_end = observing::<S>(log, traces)?;
    log_near_misses(&near_misses);
    // First of all: some metrics are reported once a minute.
    telemetry::metrics::handle()?;
    metrics::counter!(observe::PANICS).increment(0);

    let runtime = runtime::<S>()?;
    let code = runtime.block_on(async {
        let lifecycle = Lifecycle::default();
        let mut signals = Signals::install()?;
        let (probes, roles) = (http.clone(), Roles::of(&options.role));
        // A process without the API has no load balancer.
        let delay = if roles.api { http.shutdown_delay } else { Duration::ZERO };
        let limits = Limits { delay, drain: http.shutdown_drain };
        let context = ServeContext {
            lifecycle: lifecycle.clone(),
            roles,
            queues: options.queues.clone(),
            insecure_local: options.insecure_local,
            http,
            auth,
        };
        let start = async {
            if options.migrate {
                migrate_at_last::<S>(&own, &probes).await?;
            }
            S::serve(own, context).await
        };
        tokio::select! {
            started = start => started?,
            signal = signals.next() => {
                tracing::info!(signal, "stopping before the start was complete");
                lifecycle.stop();
            }
        }
        anyhow::Ok(lifecycle.wait(&mut signals, limits).await)
    });
    runtime.shutdown_timeout(LAST_WAIT);
    Ok(code?)
}

/// Migrates as soon as the database is available. Until then probes get the reason.
///
/// # Errors
/// Whether a retry cannot help.
async fn migrate_at_last<S: Service>(config: &S::Config, http: &Http) -> anyhow::Result<()> {
    let (base, cap) = (Duration::from_millis(500), Duration::from_secs(15));
    let mut attempt = 0;
    let mut waiting = None;
    while let Err(error) = S::migrate(config).await {
        if error.chain().any(<dyn Error>::is::<PermanentError>) {
            return Err(error.context("cannot migrate"));
        }
        attempt += 1;
        let wait = backoff::exponential(base, attempt, cap);
        let error = format!("{error:#}");
        let answering = match &waiting {
            Some(answering) => answering,
            None => waiting.insert(Waiting::begin(http).await?),
        };
        answering.because(format!("migrations: {error}"));
        tracing::warn!(attempt, ?wait, error, "migration failed; will retry");
        tokio::time::sleep(wait).await;
    }
    if let Some(answering) = waiting {
        answering.end().await;
    }
    Ok(())
}

fn read<S: Service>(reader: &mut Reader) -> Settings<S::Config> {
    Settings {
        http: reader.http(S::DEFAULT_PORT),
        log: reader.log(),
        traces: reader.traces(S::NAME),
        auth: reader.auth(),
        own: S::read_config(reader),
    }
}

fn observing<S: Service>(log: Log, traces: Option<telemetry::Settings>) -> Result<Observing, Failure> {
    observe::init(log, traces, S::NAME).map_err(|mistake| Failure::Configuration(vec![mistake]))
}

fn log_near_misses(near_misses: &[NearMiss]) {
    for NearMiss { name, setting } in near_misses {
        tracing::warn!(
            variable = name,
            setting,
            "environment variable is not a setting; is its name misspelt?"
        );
    }
}

fn require_credential(reader: &mut Reader, auth: &Auth) {
    let tried =
        ["AUTH_JWT_SECRET", "AUTH_JWKS_URL", "AUTH_API_KEYS"].iter().any(|name| reader.has_mistake(name));
    if auth.jwt_secret.is_none() && auth.jwks_url.is_none() && auth.api_keys.is_empty() && !tried {
        reader.mistake(
            "AUTH_JWT_SECRET",
            "set it, AUTH_JWKS_URL or AUTH_API_KEYS, because without one every request is rejected (`serve --insecure-local` accepts all, on loopback only)",
        );
    }
}

/// A reader that has read every setting.
fn declared<S: Service>() -> Reader {
    let mut reader = Reader::of_variables(S::NAME, []);
    read::<S>(&mut reader);
    reader
}

fn runtime<S: Service>() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(S::NAME).build()
}
