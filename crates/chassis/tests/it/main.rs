//! The example service as a real process: command line, configuration, lifecycle.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod stopping;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;

const SECRET: &str = "a secret of the tests, 32 bytes long";

/// A separate folder, and an empty environment.
struct Place {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    fn new(variables: &[(&'static str, &str)]) -> Self {
        // Only tests of the delay itself wait for it.
        let variables = [("SHUTDOWN_DELAY_SECONDS", "0")].iter().chain(variables);
        let variables = variables.map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { folder: tempfile::tempdir().unwrap(), variables }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // Cargo builds the examples in a folder beside that of its test binaries.
        let tests = std::env::current_exe().unwrap();
        let program: PathBuf = tests.ancestors().nth(2).unwrap().join("examples/minimal");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().envs(self.variables.clone());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn serve(&self, arguments: &[&str]) -> Serving {
        let mut command = self.command(&[&["serve"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let started = serde_json::from_str(&line).unwrap_or_else(|_| panic_with(&mut child, &line));
        Serving { child, log, started }
    }
}

#[expect(clippy::panic, reason = "prints the output of the child")]
fn panic_with(child: &mut Child, line: &str) -> Value {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    panic!("no log line but {line:?}: {text}")
}

/// A service whose start is logged.
struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStdout>,
    started: Value,
}

impl Serving {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn port(&self) -> String {
        self.started["extra"]["address"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned()
    }

    /// Reads the log up to the line with this message.
    fn until(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended before {message:?}");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// The exit code. The process must end soon.
    fn exit(&mut self) -> i32 {
        testkit::wait_for("the process to end", || self.child.try_wait().unwrap()).code().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // An error means that it has ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that the system assigns to nobody else. A program that names it can bind it, because its socket does not listen.
fn kept_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    (socket, port)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_wrong_configuration_exits_2_and_names_every_mistake() {
    let place = Place::new(&[
        ("API_PORT", "no"),
        ("MINIMAL_EDN", "ok"),
        ("AUTH_JWT_SECRET", "short"),
        ("LOG_LEVEL", "loud"),
    ]);
    for command in [&["serve"][..], &["migrate"], &["config", "check"]] {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let shown = text(&output.stderr);
        for part in [
            "zaplecze-minimal: 4 mistakes in the configuration",
            "API_PORT: must be a whole number from 0 to 65535, is \"no\"",
            "MINIMAL_EDN: is not a setting of this service; did you mean MINIMAL_END?",
            "AUTH_JWT_SECRET: must be at least 32 bytes long, is 5",
            "LOG_LEVEL: must be",
        ] {
            assert!(shown.contains(part), "{command:?}: {shown}");
        }
        assert!(!shown.contains("short"), "{shown}");
    }
}

#[test]
fn serving_without_credentials_needs_insecure_local() {
    let place = Place::new(&[("API_PORT", "0")]);
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("AUTH_JWT_SECRET") && shown.contains("AUTH_API_KEYS"), "{shown}");

    let serving = place.serve(&["--insecure-local"]);
    let address = serving.started["extra"]["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "the default, 0.0.0.0, is narrowed: {address}");
}

#[test]
fn the_environment_has_precedence_over_the_env_file() {
    let place = Place::new(&[("API_PORT", "9001")]);
    let file = format!("# for development\nAPI_PORT=9000\nMINIMAL_END=\"ok\"\nAUTH_JWT_SECRET='{SECRET}'\n");
    std::fs::write(place.folder.path().join(".env"), file).unwrap();
    let output = place.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in ["API_PORT=9001", "MINIMAL_END=ok", "AUTH_JWT_SECRET=••••", "LOG_LEVEL=INFO  # default"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }

    std::fs::write(place.folder.path().join(".env"), format!("A=1\n{SECRET}\n")).unwrap();
    let output = place.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains(".env: the line after setting number 1 is not NAME=value"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_misspelt_setting_without_prefix_is_reported() {
    let place = Place::new(&[("AUTH_JWT_SECRET", SECRET), ("ENCRYPTION_KEY", "x"), ("LOG_LEVELS", "debug")]);
    let near_miss = "zaplecze-minimal: warning: LOG_LEVELS is not a setting; did you mean LOG_LEVEL?\n";
    for arguments in [&["config", "check"][..], &["end"]] {
        let output = place.run(arguments);
        assert_eq!((output.status.code(), &*text(&output.stderr)), (Some(0), near_miss), "{arguments:?}");
    }
    let logged = text(&place.run(&["migrate"]).stdout);
    let line: Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "WARNING");
    assert_eq!(
        (&line["extra"]["variable"], &line["extra"]["setting"]),
        (&"LOG_LEVELS".into(), &"LOG_LEVEL".into())
    );
}

#[test]
fn token_issue_rejects_an_empty_claim() {
    let place = Place::new(&[("AUTH_JWT_SECRET", SECRET)]);
    for (option, claims) in [
        ("--sub", ["--sub", "", "--scope", "a", "--user-id", "u"]),
        ("--scope", ["--sub", "a", "--scope", " ", "--user-id", "u"]),
        ("--user-id", ["--sub", "a", "--scope", "a", "--user-id", ""]),
    ] {
        let output = place.run(&[&["token", "issue"], &claims[..]].concat());
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains(option) && said.contains("must not be empty"), "{said}");
    }
}

#[test]
fn every_setting_is_listed_with_type_default_and_meaning() {
    for arguments in [&["config", "check", "--list"][..], &["config", "check", "--help"]] {
        let output = Place::new(&[]).run(arguments);
        assert_eq!(output.status.code(), Some(0));
        let shown = text(&output.stdout);
        for part in ["API_PORT  (whole number, 0 to 65535; default 8000)", "MINIMAL_END", "How the task ends"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}

#[test]
fn token_issue_prints_only_the_token() {
    let place = Place::new(&[("AUTH_JWT_SECRET", SECRET), ("MINIMAL_UNKNOWN", "not asked for here")]);
    let output = place.run(&[
        "token",
        "issue",
        "--sub",
        "anna",
        "--scope",
        "minimal:read x:admin",
        "--user-id",
        "u1",
        "--ttl",
        "60",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    chassis::jwt::install();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.set_audience(&["zaplecze"]);
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let claims = jsonwebtoken::decode::<Value>(text(&output.stdout).trim_end(), &key, &rules).unwrap().claims;
    assert_eq!((&claims["sub"], &claims["user_id"]), (&"anna".into(), &"u1".into()));
    assert_eq!(claims["scope"], "minimal:read x:admin");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);

    let output = Place::new(&[]).run(&["token", "issue", "--sub", "a", "--scope", "b"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("AUTH_JWT_SECRET: is required"));
}

#[test]
fn a_services_command_gets_its_settings_and_is_in_help() {
    let place = Place::new(&[("MINIMAL_END", "never")]);
    let output = place.run(&["end"]);
    assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(0), "never"));
    assert!(text(&place.run(&["--help"]).stdout).contains("end           Print how the task ends"));
    assert_eq!(place.run(&["end", "soon"]).status.code(), Some(2));

    let output = Place::new(&[("MINIMAL_END", "error")]).run(&["end"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the command gave up"));
    assert_eq!(Place::new(&[("MINIMAL_UNKNOWN", "x")]).run(&["end"]).status.code(), Some(2));
}

#[test]
fn sigterm_stops_gracefully_and_the_log_is_json() {
    let mut serving = Place::new(&[("API_PORT", "0")]).serve(&["--insecure-local"]);
    let line = &serving.started;
    assert_eq!((&line["level"], &line["logger"]), (&"INFO".into(), &"minimal".into()));
    assert_eq!((&line["correlation_id"], &line["user_id"]), (&"c-1".into(), &"anna".into()));
    assert_eq!(line["extra"]["depth"], 2, "the event's own field wins over the span's");
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["correlation_id", "extra", "level", "logger", "message", "timestamp", "user_id"]);

    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.until("stopping")["extra"]["signal"], "SIGTERM");
    assert_eq!(serving.exit(), 0);
}

#[test]
fn the_log_file_is_rotated_at_its_size() {
    let place = Place::new(&[
        ("API_PORT", "0"),
        ("LOG_FORMAT", "pretty"),
        ("LOG_FILE_PATH", "minimal.log"),
        ("LOG_MAX_BYTES", "1000"),
        ("LOG_BACKUP_COUNT", "2"),
        ("MINIMAL_END", "error"),
    ]);
    let mut outputs = Vec::new();
    for _ in 0..8 {
        outputs.push(place.run(&["serve", "--insecure-local"]));
    }
    let read = |name: &str| std::fs::read_to_string(place.folder.path().join(name)).unwrap();
    let (now, before, oldest) = (read("minimal.log"), read("minimal.log.1"), read("minimal.log.2"));
    for file in [&now, &before, &oldest] {
        assert!(!file.is_empty() && file.len() <= 1000, "{}", file.len());
        assert!(file.starts_with("{\"timestamp\":\""), "{file}");
    }
    assert!(!place.folder.path().join("minimal.log.3").exists());
    // The last line is there: queued lines are written before the process ends.
    let last: Value = serde_json::from_str(now.lines().last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["extra"]["critical"]), (&"ERROR".into(), &true.into()));
    assert_eq!(last["message"], "background task ended; stopping");
    assert!(text(&outputs[7].stdout).contains("background task ended"), "people read stdout meanwhile");

    let place = Place::new(&[("API_PORT", "0"), ("LOG_FILE_PATH", "no/such/folder/minimal.log")]);
    let output = place.run(&["serve", "--insecure-local"]);
    assert_eq!(output.status.code(), Some(2));
    let shown = text(&output.stderr);
    assert!(shown.contains("LOG_FILE_PATH: cannot be written, is \"no/such/folder/minimal.log\""), "{shown}");
}

#[test]
fn secrets_are_masked_and_levels_have_pythons_names() {
    let place = Place::new(&[("API_PORT", "0"), ("MINIMAL_END", "amqp://ola:żółć@host away")]);
    let mut serving = place.serve(&["--insecure-local"]);
    let line = serving.until("working");
    assert_eq!(line["level"], "WARNING");
    assert_eq!(line["extra"]["end"], "amqp://ola:••••@host away");
    assert_eq!(line["extra"]["access_token"], "••••");
    assert_eq!(line["extra"]["token_id"], 7);
}

#[test]
fn an_unavailable_collector_delays_nothing() {
    // Accepts connections and never answers.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("http://{}", hanging.local_addr().unwrap());
    for collector in ["http://127.0.0.1:1", hanging.as_str()] {
        let place = Place::new(&[("API_PORT", "0"), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector)]);
        // Waiting for the collector would take ten seconds each time. A slow machine may exceed the limit once.
        let is_soon = |_try| {
            let mut serving = place.serve(&["--insecure-local"]);
            let trace = serving.started["extra"]["trace_id"].as_str().unwrap();
            assert_eq!(trace.len(), 32, "the log names the trace");
            serving.signal(Signal::SIGTERM);
            let stopping = Instant::now();
            assert_eq!(serving.exit(), 0);
            stopping.elapsed() < Duration::from_secs(6)
        };
        assert!((0..3).any(is_soon), "{collector} was waited for");
    }
}

#[test]
fn probes_get_the_reason_while_migrating_fails() {
    let (_kept, port) = kept_port();
    let place = Place::new(&[("API_PORT", &port), ("MINIMAL_DATABASE", "database")]);
    let mut serving = place.serve(&["--insecure-local", "--migrate"]);
    assert_eq!(serving.started["message"], "migration failed; will retry");
    let address = format!("127.0.0.1:{port}");
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/livez").starts_with("HTTP/1.1 200 OK\r\n"));
    let answer = ask("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("migrations: No such file"), "{answer}");

    std::fs::write(place.folder.path().join("database"), "").unwrap();
    serving.until("started");
    assert_eq!(place.run(&["health-check"]).status.code(), Some(0));
}

#[test]
fn probes_get_the_reason_over_https_while_migrating_fails() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (_kept, port) = kept_port();
    let place = Place::new(&[
        ("API_PORT", &port),
        ("MINIMAL_DATABASE", "database"),
        ("API_TLS_CERT", "tls.crt"),
        ("API_TLS_KEY", "tls.key"),
    ]);
    std::fs::write(place.folder.path().join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(place.folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let serving = place.serve(&["--insecure-local", "--migrate"]);
    assert_eq!(serving.started["message"], "migration failed; will retry");
    let asked = text(&place.run(&["health-check"]).stderr);
    assert!(asked.contains("not ready (503): ") && asked.contains("migrations: No such file"), "{asked}");
}

#[test]
fn the_pretty_log_is_masked_too() {
    let place = Place::new(&[("API_PORT", "0"), ("LOG_FORMAT", "pretty"), ("MINIMAL_END", "error")]);
    let said = text(&place.run(&["serve", "--insecure-local"]).stdout);
    let working = said.lines().find(|line| line.contains("working")).unwrap();
    assert!(working.contains(r#"end="error" access_token=•••• token_id=7"#), "{working}");
    assert!(!said.contains("shown nowhere"), "{said}");
}

#[test]
fn a_permanent_migration_error_is_not_retried() {
    let place = Place::new(&[("API_PORT", "0"), ("MINIMAL_DATABASE", ".")]);
    let output = place.run(&["serve", "--insecure-local", "--migrate"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "zaplecze-minimal: cannot migrate: permanent error, a retry does not help: it is a folder\n"
    );
}

#[test]
fn an_ended_background_task_ends_the_process() {
    for (end, reason) in [
        ("ok", "ended by itself"),
        ("error", "the task gave up"),
        ("panic", "panicked: internal error: entered unreachable code: the task broke"),
    ] {
        let place = Place::new(&[("API_PORT", "0"), ("MINIMAL_END", end)]);
        let output = place.run(&["serve", "--insecure-local"]);
        assert_eq!(output.status.code(), Some(1), "{end}");
        let log = text(&output.stdout);
        let lost: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &Value| line["message"] == "background task ended; stopping")
            .collect();
        assert_eq!(lost.len(), 1, "{end}: {log}");
        assert_eq!(lost[0]["extra"]["reason"], reason);
        assert_eq!(text(&output.stderr), "", "panics are logged, not printed");
    }
}

#[test]
fn health_check_reports_readiness() {
    let (_kept, port) = kept_port();
    let place = Place::new(&[("API_PORT", &port)]);
    let serving = place.serve(&["--insecure-local"]);
    assert_eq!(place.run(&["health-check"]).status.code(), Some(0));
    drop(serving);
    let output = place.run(&["health-check"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.contains(&format!("no answer from http://127.0.0.1:{port}/readyz")), "{shown}");
}

/// Answers one HTTPS request with this status line.
fn answer_once(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>, status: &'static str) -> u16 {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![certificate.cert.der().clone()];
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (peer, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), peer);
        let mut head = [0; 1024];
        let _count = stream.read(&mut head).unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
        stream.flush().unwrap();
    });
    port
}

#[test]
fn health_check_uses_tls_except_on_the_internal_port() {
    let certificate = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) =
        (write("tls.crt", certificate.cert.pem()), write("tls.key", certificate.signing_key.serialize_pem()));
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let port = answer_once(&certificate, status).to_string();
        let place = Place::new(&[("API_PORT", &port), ("API_TLS_CERT", &cert), ("API_TLS_KEY", &key)]);
        let output = place.run(&["health-check"]);
        assert_eq!(output.status.code(), Some(code), "{status}: {}", text(&output.stderr));
    }

    let serving = Place::new(&[("API_PORT", "0")]).serve(&["--insecure-local"]);
    let internal = serving.port();
    let place = Place::new(&[
        ("API_PORT", "1"),
        ("INTERNAL_PORT", &internal),
        ("API_TLS_CERT", &cert),
        ("API_TLS_KEY", &key),
    ]);
    assert_eq!(place.run(&["health-check"]).status.code(), Some(0));

    let place = Place::new(&[("API_TLS_CERT", &key), ("API_TLS_KEY", &key), ("AUTH_JWT_SECRET", SECRET)]);
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2), "a wrong file is a wrong configuration");
    assert!(text(&output.stderr).contains("API_TLS_CERT: "), "{}", text(&output.stderr));
}
