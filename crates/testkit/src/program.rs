//! A service as a process of its own: what a test can start, ask, kill and start again.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// The signing secret of the tests' tokens.
const JWT_SECRET: &str = "a secret of the tests, 32 bytes long";
/// 32 zero bytes: good enough to see that what is sealed is not in clear.
const ENCRYPTION_KEYS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A running service. Killed with the value.
pub struct Program {
    binary: &'static str,
    environment: Vec<(String, String)>,
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
    agent: ureq::Agent,
    /// Sent with every request.
    pub token: String,
}

impl Program {
    /// Migrates the schema and starts the service; returns when it is ready. The token may read and write.
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
        let common = [
            ("DATABASE_URL", database.expose_secret()),
            ("AMQP_URL", amqp.expose_secret()),
            ("API_HOST", "127.0.0.1"),
            ("API_PORT", "0"),
            ("LOG_LEVEL", "DEBUG"),
            ("AUTH_JWT_SECRET", JWT_SECRET),
            ("ENCRYPTION_KEYS", ENCRYPTION_KEYS),
        ];
        let environment: Vec<(String, String)> =
            common.iter().chain(settings).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        run(binary, &environment, &["migrate"]);
        // A test asks as often as it likes: `service` lifts the rate limit.
        let scope = format!("{name}:read {name}:write service");
        let token = run(binary, &environment, &["token", "issue", "--sub", "test", "--scope", &scope]);
        let log = Arc::default();
        let (child, url) = serve(binary, &environment, &log);
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
        let program = Self { binary, environment, child, url, log, agent: config.build().into(), token };
        program.until_ready();
        program
    }

    /// A second process of the same service on the same schema.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn replica(&self) -> Self {
        let log = Arc::default();
        let (child, url) = serve(self.binary, &self.environment, &log);
        let program = Self {
            binary: self.binary,
            environment: self.environment.clone(),
            child,
            url,
            log,
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
        self.child.kill().expect("a running process");
        self.child.wait().expect("a child of ours");
    }

    /// Starts it again after it was killed.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_again(&mut self) {
        (self.child, self.url) = serve(self.binary, &self.environment, &self.log);
        self.until_ready();
    }

    /// A token of a caller who is bound to a user.
    ///
    /// # Panics
    /// When the service cannot issue it.
    pub fn token_of(&self, user_id: &str, scope: &str) -> String {
        let arguments = ["token", "issue", "--sub", user_id, "--user-id", user_id, "--scope", scope];
        run(self.binary, &self.environment, &arguments)
    }

    /// A token with these scopes.
    ///
    /// # Panics
    /// When the service cannot issue it.
    pub fn issue(&self, scope: &str) -> String {
        run(self.binary, &self.environment, &["token", "issue", "--sub", "test", "--scope", scope])
    }

    /// Its OpenAPI document.
    ///
    /// # Panics
    /// When there is none.
    pub fn document(&self) -> Value {
        let (status, document) = answer(self.agent.get(format!("{}/openapi.json", self.url)).call());
        assert_eq!(status, 200, "{document}");
        document
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
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        request = request.header("Idempotency-Key", key).header("Content-Type", "application/json");
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        // Neither asks with a body.
        if ["GET", "DELETE"].contains(&method) {
            return answer(self.agent.run(request.body(()).expect("a request")));
        }
        answer(self.agent.run(request.body(body.to_string()).expect("a request")))
    }

    /// Runs another command of its program, and returns what it printed.
    ///
    /// # Panics
    /// When the command fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        run(self.binary, &self.environment, arguments)
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// GET below `/api/v1`: the status and the JSON, null where there is none.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> (u16, Value) {
        answer(self.agent.get(self.address(path)).header("Authorization", self.bearer()).call())
    }

    /// DELETE below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.agent.delete(self.address(path)).header("Authorization", self.bearer()).call())
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
        let request = self.agent.patch(self.address(path)).header("Authorization", self.bearer());
        answer(request.send_json(body))
    }

    /// POST of anything below `/api/v1`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn post_raw(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let request = self.agent.post(self.address(path)).header("Authorization", self.bearer());
        answer(request.header("Content-Type", content_type).send(body))
    }

    fn address(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.url)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn until_ready(&self) {
        let probe = format!("{}/readyz", self.url);
        let deadline = Instant::now() + LIMIT;
        while !self.agent.get(&probe).call().is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < deadline, "{} did not become ready:\n{}", self.binary, self.log());
            sleep(PAUSE);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            // What went wrong in the service is told beside what went wrong in the test.
            let log = self.log();
            let troubles =
                log.lines().filter(|line| line.contains("\"WARNING\"") || line.contains("\"ERROR\""));
            for line in troubles.take(50) {
                eprintln!("{line}");
            }
        }
    }
}

fn command(binary: &str, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn run(binary: &str, environment: &[(String, String)], arguments: &[&str]) -> String {
    let output = command(binary, environment).args(arguments).output().expect("the service's program");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} failed:\n{out}{error}");
    out.trim().to_owned()
}

/// Starts it and waits until it says where it listens.
fn serve(binary: &str, environment: &[(String, String)], log: &Arc<Mutex<String>>) -> (Child, String) {
    let mut child = command(binary, environment)
        .arg("serve")
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .expect("the service's program");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let (found, find) = std::sync::mpsc::channel();
    let kept = Arc::clone(log);
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let content: Value = serde_json::from_str(&line).unwrap_or_default();
            if content["message"] == "serving" {
                // Nobody listens any more to what comes after a start that failed.
                let _unheard =
                    found.send(content["extra"]["address"].as_str().unwrap_or_default().to_owned());
            }
            writeln!(kept.lock().unwrap_or_else(PoisonError::into_inner), "{line}").expect("memory");
        }
    });
    let address = find.recv_timeout(LIMIT);
    let address =
        address.unwrap_or_else(|_silence| panic!("{binary} does not serve:\n{}", log.lock().expect("a log")));
    (child, format!("http://{address}"))
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = result.expect("an answer");
    let text = response.body_mut().read_to_string().expect("text");
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}
