//! A service as a process of its own: what a test can start, ask, kill and start again.

mod answer;
mod process;
mod running;

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use answer::Answer;
use process::Process;
pub use running::Running;

use crate::database;
use crate::token;
use crate::wait::until;

const LIMIT: Duration = Duration::from_secs(30);
/// The signing secret of the tests' tokens.
pub(crate) const JWT_SECRET: &str = "a secret of the tests, 32 bytes long";
/// 32 zero bytes: good enough to see that what is sealed is not in clear.
const ENCRYPTION_KEYS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A running service. Killed with the value.
pub struct Program {
    binary: &'static str,
    environment: Vec<(String, String)>,
    process: Process,
    agent: ureq::Agent,
    /// Sent with every request.
    pub token: String,
}

impl Program {
    /// Migrates the schema unless it is migrated, and starts the service; returns when it is ready. The token may read and
    /// write.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(
        binary: &'static str,
        name: &str,
        database: &SecretString,
        amqp: &SecretString,
        settings: &[(&str, &str)],
    ) -> Self {
        let environment = environment(database, amqp, settings);
        if !database::is_migrated(database) {
            process::run(binary, &environment, &["migrate"]);
            database::save_template(database);
        }
        // A test asks as often as it likes: `service` lifts the rate limit.
        let scope = format!("{name}:read {name}:write service");
        let token = sign(json!({ "sub": "test", "scope": scope }));
        let process = Process::serve(binary, &environment, &[]);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT))
            // The server closes what is idle for five seconds: never use a connection that may be closing.
            .max_idle_age(Duration::from_secs(2));
        let mut program = Self { binary, environment, process, agent: config.build().into(), token };
        program.until_ready();
        program
    }

    /// A second process of the same service on the same schema.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn replica(&self) -> Self {
        self.replica_with(&[])
    }

    /// A second process of the same service on the same schema, with these settings instead.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn replica_with(&self, settings: &[(&str, &str)]) -> Self {
        let mut environment = self.environment.clone();
        environment.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let process = Process::serve(self.binary, &environment, &[]);
        let mut program = Self {
            binary: self.binary,
            environment,
            process,
            agent: self.agent.clone(),
            token: self.token.clone(),
        };
        program.until_ready();
        program
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end (SIGTERM). It goes on until it has finished what it does.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn terminate(&self) {
        let id = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(id), Signal::SIGTERM).expect("a running process");
    }

    /// Waits for its end, however it comes, and returns how it ended.
    ///
    /// # Panics
    /// When it does not end within 30 s.
    pub fn until_ended(&mut self) -> ExitStatus {
        let ended = until(LIMIT, || self.process.ended());
        ended.unwrap_or_else(|| panic!("{} did not end within {LIMIT:?}:\n{}", self.binary, self.log()))
    }

    /// Starts it again after it ended.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_again(&mut self) {
        self.process.serve_again(self.binary, &self.environment, &[], &[]);
        self.until_ready();
    }

    /// Starts it again after it ended, with these settings instead and these arguments of `serve`; returns when it listens,
    /// or has ended.
    pub fn start_again_with(&mut self, settings: &[(&str, &str)], arguments: &[&str]) {
        self.process.serve_again(self.binary, &self.environment, settings, arguments);
    }

    /// Starts it again after it ended, to die at a failpoint (`relay.after_confirm`, `pg.after_commit@3`); returns when
    /// it serves, or has died already.
    pub fn start_to_die_at(&mut self, failpoint: &str) {
        self.start_again_with(&[("FAILPOINTS", failpoint)], &[]);
    }

    /// Restarts the program after it ended, to panic once at each of these failpoints (`consumer.handle`,
    /// `pg.after_lend@3`) and to continue. Returns when the program serves; it does not wait for readiness, because the
    /// readiness probe may panic.
    pub fn start_to_panic_at(&mut self, failpoints: &[&str]) {
        let armed = failpoints.iter().map(|point| {
            let (point, visit) = point.split_once('@').unwrap_or((point, "1"));
            format!("{point}=panic@{visit}")
        });
        let armed = armed.collect::<Vec<_>>().join(",");
        self.start_again_with(&[("FAILPOINTS", &armed)], &[]);
    }

    /// True when it has died at this failpoint.
    ///
    /// # Panics
    /// When it ended in any other way.
    pub fn has_died_at(&mut self, failpoint: &str) -> bool {
        let Some(status) = self.process.ended() else { return false };
        let point = failpoint.split('@').next().unwrap_or_default();
        let is_there = self.log().contains(&format!("failpoint: {point}\n"));
        assert!(
            status.signal().map(Signal::try_from) == Some(Ok(Signal::SIGABRT)) && is_there,
            "{} ended ({status}), but not at {failpoint}:\n{}",
            self.binary,
            self.log()
        );
        true
    }

    /// Runs another command of the binary to its end, with the same settings and these.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        process::output(self.binary, &self.environment, settings, arguments)
    }

    /// Starts another command of the binary with the same settings.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        process::begin(self.binary, &self.environment, arguments)
    }

    /// A token of a caller who is bound to a user.
    ///
    /// # Panics
    /// Never: the claims are an object.
    pub fn token_of(&self, user_id: &str, scope: &str) -> String {
        self.sign(json!({ "sub": user_id, "user_id": user_id, "scope": scope }))
    }

    /// A token with these scopes.
    ///
    /// # Panics
    /// Never: the claims are an object.
    pub fn issue(&self, scope: &str) -> String {
        self.sign(json!({ "sub": "test", "scope": scope }))
    }

    /// A token with these claims beside `aud` and `exp`, which may be claims that `token issue` refuses.
    ///
    /// # Panics
    /// When `claims` is no object.
    pub fn sign(&self, claims: Value) -> String {
        sign(claims)
    }

    /// Runs another command of its program, and returns what it printed.
    ///
    /// # Panics
    /// When the command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        process::run(self.binary, &self.environment, arguments)
    }

    /// Its OpenAPI document.
    ///
    /// # Panics
    /// When there is none.
    pub fn document(&self) -> Value {
        let answer = self.request("GET", "/openapi.json", &[], &[]).expect("an answer");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Any request, `path` from the root on: the status and the JSON, null where there is none.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        key: &str,
        body: &Value,
    ) -> (u16, Value) {
        let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
        let headers =
            [("Authorization", &*bearer), ("Idempotency-Key", key), ("Content-Type", "application/json")];
        // Neither asks with a body.
        let body = if ["GET", "DELETE"].contains(&method) { String::new() } else { body.to_string() };
        let answer = self.request(method, path, &headers, body.as_bytes()).expect("an answer");
        (answer.status, answer.json())
    }

    /// CPU time it has used, of the user and of the system.
    ///
    /// # Panics
    /// When it has ended.
    pub fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    /// The most memory it has held.
    ///
    /// # Panics
    /// When it has ended.
    pub fn peak_megabytes(&self) -> u64 {
        self.process.peak_megabytes()
    }

    /// Where it listens, `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.process.url
    }

    /// Everything it has logged, and said on stderr.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// GET below `/api/v1`: the status and the JSON, null where there is none.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "", &[])
    }

    /// DELETE below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn delete(&self, path: &str) -> (u16, Value) {
        self.ask("DELETE", path, "", &[])
    }

    /// POST of JSON below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_raw(path, "application/json", body.to_string().as_bytes())
    }

    /// PATCH of JSON below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("PATCH", path, "application/json", body.to_string().as_bytes())
    }

    /// PUT of JSON below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("PUT", path, "application/json", body.to_string().as_bytes())
    }

    /// POST of anything below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn post_raw(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        self.ask("POST", path, content_type, body)
    }

    fn ask(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type)];
        let answer = self.request(method, &format!("/api/v1{path}"), &headers, body).expect("an answer");
        (answer.status, answer.json())
    }

    /// Any request to any path; headers with an empty value are left out. An error means that there was no answer.
    ///
    /// # Errors
    /// When the service is not there, or goes away before it has answered.
    ///
    /// # Panics
    /// When it cannot be made a request.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        // It died before it listened.
        if self.url().is_empty() {
            return Err(ureq::Error::ConnectionFailed);
        }
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url()));
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let answer = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent.run(request.body(body).expect("a request"))
        };
        Answer::read(answer?)
    }

    /// What it tells of itself at `/metrics`.
    ///
    /// # Panics
    /// When it does not.
    pub fn metrics(&self) -> String {
        let answer = self.request("GET", "/metrics", &[], &[]).expect("metrics");
        String::from_utf8(answer.body).expect("text")
    }

    fn until_ready(&mut self) {
        let ready = until(LIMIT, || {
            let is_ready = self.request("GET", "/readyz", &[], &[]).is_ok_and(|answer| answer.status == 200);
            (is_ready || self.process.ended().is_some()).then_some(is_ready)
        });
        assert!(ready == Some(true), "{} did not become ready:\n{}", self.binary, self.log());
    }
}

/// The claims with `aud`, `iat` and `exp`, signed with the secret of the tests. It is valid as long as one that
/// `token issue` prints.
fn sign(mut claims: Value) -> String {
    let now = token::now();
    claims["aud"] = "zaplecze".into();
    claims["iat"] = now.into();
    claims["exp"] = (now + 3600).into();
    token::hs256(&claims, JWT_SECRET.as_bytes())
}

fn environment(
    database: &SecretString,
    amqp: &SecretString,
    settings: &[(&str, &str)],
) -> Vec<(String, String)> {
    let common = [
        ("DATABASE_URL", database.expose_secret()),
        ("AMQP_URL", amqp.expose_secret()),
        ("API_HOST", "127.0.0.1"),
        ("API_PORT", "0"),
        ("LOG_LEVEL", "DEBUG"),
        // No load balancer is in front of it.
        ("SHUTDOWN_DELAY_SECONDS", "0"),
        ("AUTH_JWT_SECRET", JWT_SECRET),
        ("ENCRYPTION_KEYS", ENCRYPTION_KEYS),
        // Whoever asks without the scope `service` asks often too.
        ("RATE_LIMIT_BURST", "100000"),
    ];
    common.iter().chain(settings).map(|(name, value)| ((*name).into(), (*value).into())).collect()
}
