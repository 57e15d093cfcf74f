//! What every service does the same way, asked of a real process (docs: the conventions).
//!
//! A service's own tests hold a [`Subject`] and one line, [`check`]. Nothing is looked at from within: what is asked is
//! the binary's commands, its HTTP and its exit code.

mod commands;
mod configuration;
mod contract;
mod credentials;
mod drain;
mod keys;
mod metrics;
mod operations;
mod panics;
mod probes;
mod schema;

use secrecy::{ExposeSecret, SecretString};

use crate::{Database, Program, Proxy, Vhost, redis_url};
use operations::Operation;

/// A service to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `env!("CARGO_BIN_EXE_zaplecze-…")`.
    pub binary: &'static str,
    /// As in its scopes, e.g. `allegro-backup`.
    pub name: &'a str,
    /// Its schema, e.g. `allegro_backup`.
    pub schema: &'a str,
    /// What it needs to be told beside database and broker; `REDIS_URL` is given to all.
    pub settings: &'a [(&'a str, &'a str)],
    /// Dependencies without which it is not ready, as `/readyz` names them, of `postgres`, `rabbitmq` and `redis`.
    pub required: &'a [&'a str],
}

/// The service, each dependency behind a proxy.
struct Stage<'a> {
    subject: Subject<'a>,
    program: Program,
    operations: Vec<Operation>,
    proxies: Vec<(&'static str, Proxy)>,
    database: Database,
    vhost: Vhost,
}

impl<'a> Stage<'a> {
    async fn set(subject: Subject<'a>) -> Self {
        let (database, vhost) = (Database::of_service(subject.schema).await, Vhost::create());
        let proxies = vec![
            ("postgres", Proxy::before(database.url().expose_secret())),
            ("rabbitmq", Proxy::before(vhost.url().expose_secret())),
            ("redis", Proxy::before(&redis_url())),
        ];
        let [(_, postgres), (_, rabbitmq), (_, redis)] = proxies.as_slice() else { panic!("three proxies") };
        let url = |proxy: &Proxy| SecretString::from(proxy.url());
        let mut settings = vec![("REDIS_URL", redis.url())];
        settings.extend(subject.settings);
        let program = Program::start(subject.binary, subject.name, &url(postgres), &url(rabbitmq), &settings);
        let operations = operations::of(&program);
        Self { subject, program, operations, proxies, database, vhost }
    }
}

/// Looks at a service, and tells everything that is not as it should be.
///
/// # Panics
/// When anything is not; the text lists all of it.
pub async fn check(subject: Subject<'_>) {
    let mut stage = Stage::set(subject).await;
    let mut findings = Findings::default();
    commands::check(&stage, &mut findings);
    configuration::check(&stage, &mut findings);
    credentials::check(&stage, &mut findings);
    contract::check(&stage, &mut findings);
    metrics::check(&stage, &mut findings).await;
    probes::check(&stage, &mut findings).await;
    schema::check_columns(&stage, &mut findings).await;
    panics::check(&mut stage, &mut findings).await;
    drain::check(&mut stage, &mut findings).await;
    keys::check(&mut stage, &mut findings);
    schema::check_migrations(&mut stage, &mut findings).await;
    findings.tell(&stage);
}

/// What is not as it should be, so that one look tells all of it.
#[derive(Default)]
struct Findings {
    looked: u32,
    found: Vec<String>,
}

impl Findings {
    /// Notes `what` unless it is so.
    fn expect(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        self.looked += 1;
        if !is_so {
            self.found.push(what());
        }
    }

    fn tell(self, stage: &Stage<'_>) {
        let name = stage.subject.name;
        let operations = stage.operations.len();
        assert!(self.found.is_empty(), "{name} is not as it should be:\n- {}", self.found.join("\n- "));
        eprintln!("{name}: {} things as they should be, {operations} operations", self.looked);
    }
}
