#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::fs;
use std::time::Duration;

use secrecy::ExposeSecret;
use telemetry::Sampler;
use tracing::Level;

use super::{LogFormat, Mistake, Reader};

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn reader<'a>(variables: &[(&'a str, &'a str)]) -> Reader {
    Reader::of_variables("stock-sync", variables.iter().copied())
}

/// The mistakes as text.
fn mistakes(reader: Reader) -> Vec<String> {
    reader.finish().unwrap_err().iter().map(Mistake::to_string).collect()
}

#[test]
fn all_mistakes_are_reported_at_once_without_secrets() {
    let mut reader = reader(&[
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("REDIS_URL", ""),
        ("AMQP_URL", "http://u:hunter2@mq"),
        ("ENCRYPTION_KEYS", "k1:hunter2"),
        ("AUTH_JWT_SECRET", "hunter2"),
        ("AUTH_API_KEYS", "robot:hunter2:a:read"),
        ("API_HOST", "localhost"),
        ("API_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DEBUG", "maybe"),
        ("STOCK_SYNC_RETRY_MAX_ATTEMPTS", "0"),
        ("STOCK_SYNC_BACKUP_URL", "ftp://x"),
        ("STOCK_SYNC_RETRY_MAX_ATEMPTS", "3"),
        ("STOCK_SYNC_ZZZ", "hunter2"),
        ("OTHER_SERVICE_SETTING", "1"),
    ]);
    reader.database();
    reader.redis();
    reader.amqp();
    reader.encryption();
    reader.auth();
    reader.http(8002);
    reader.log();
    reader.number("STOCK_SYNC_RETRY_MAX_ATTEMPTS", 5_u8, 1..=9, "Tries.");
    reader.url("STOCK_SYNC_BACKUP_URL", "http://127.0.0.1:8001", "Where allegro-backup is.");
    reader.required_text("STOCK_SYNC_NAME", "the shop's name.");

    let found = mistakes(reader);
    assert_eq!(
        found,
        [
            "DATABASE_URL: must begin with postgres:// or postgresql://",
            "REDIS_URL: is required (or REDIS_HOST)",
            "AMQP_URL: must begin with amqp:// or amqps://",
            "ENCRYPTION_KEYS: key 1: must be standard base64",
            "AUTH_API_KEYS: key 1: its SHA-256 must be 64 hex digits",
            "AUTH_JWT_SECRET: must be at least 32 bytes long, is 7",
            "API_HOST: must be an IPv4 or IPv6 address, is \"localhost\"",
            "API_PORT: must be a whole number from 0 to 65535, is \"65536\"",
            "LOG_LEVEL: must be trace, debug, info, warning, error or critical, is \"loud\"",
            "LOG_FORMAT: must be json or pretty, is \"xml\"",
            "DEBUG: must be true or false, is \"maybe\"",
            "STOCK_SYNC_RETRY_MAX_ATTEMPTS: must be a whole number from 1 to 9, is \"0\"",
            "STOCK_SYNC_BACKUP_URL: must be an http or https address without a password, is \"ftp://x\"",
            "STOCK_SYNC_NAME: is required: the shop's name.",
            "STOCK_SYNC_RETRY_MAX_ATEMPTS: is not a setting of this service; did you mean STOCK_SYNC_RETRY_MAX_ATTEMPTS?",
            "STOCK_SYNC_ZZZ: is not a setting of this service",
        ]
    );
    assert!(!found.join("\n").contains("hunter2"));
}

#[test]
fn an_absent_or_empty_setting_takes_its_default() {
    let mut reader = reader(&[("API_PORT", ""), ("STOCK_SYNC_WAIT", "7")]);
    assert_eq!(reader.http(8002).port, 8002);
    assert_eq!(reader.seconds("STOCK_SYNC_WAIT", 3, 1..=60, "Wait."), Duration::from_secs(7));
    assert_eq!(reader.text("STOCK_SYNC_TEXT", "yes", "Text."), "yes");
    assert_eq!(reader.optional_text("STOCK_SYNC_MORE", "More."), None);
    assert!(reader.flag("STOCK_SYNC_FLAG", true, "Flag."));
    let log = reader.log();
    assert_eq!((log.level, log.format), (Level::INFO, LogFormat::Json));
    reader.finish().unwrap();
}

#[test]
fn log_levels_of_python_are_accepted() {
    for (text, debug, level) in [
        ("WARNING", "", Level::WARN),
        ("Critical", "", Level::ERROR),
        ("ERROR", "true", Level::DEBUG),
        ("trace", "1", Level::TRACE),
        ("info", "off", Level::INFO),
    ] {
        let mut reader = reader(&[("LOG_LEVEL", text), ("DEBUG", debug)]);
        assert_eq!(reader.log().level, level, "{text} {debug}");
        reader.finish().unwrap();
    }
}

#[test]
fn traces_use_opentelemetrys_variables() {
    let mut off = reader(&[("OTEL_SERVICE_NAME", "x")]);
    assert!(off.traces("stock-sync").is_none());
    off.finish().unwrap();

    let mut given = reader(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20eA%3D%3D,x=y"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=stock,deployment.environment.name=żółć"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ]);
    let traces = given.traces("stock-sync").unwrap();
    given.finish().unwrap();
    assert_eq!(
        (traces.endpoint.as_str(), traces.service_name.as_str()),
        ("http://collector:4318/base", "stock")
    );
    assert_eq!(traces.headers[0].1.expose_secret(), "Basic eA==");
    assert!(traces.attributes.contains(&("deployment.environment.name".to_owned(), "żółć".to_owned())));
    assert_eq!(traces.sampler, "parentbased_traceidratio".parse::<Sampler>().unwrap().with_ratio(0.25));

    let mut wrong = reader(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ]);
    wrong.traces("stock-sync");
    let found = mistakes(wrong);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(!found.join("\n").contains("hunter2"), "{found:?}");
}

#[test]
fn a_setting_may_come_from_a_file_but_not_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "a secret from a file, 32 bytes long\n").unwrap();
    let path = path.to_str().unwrap();

    let mut from_file = reader(&[("AUTH_JWT_SECRET_FILE", path)]);
    let secret = from_file.auth().jwt_secret.unwrap();
    assert_eq!(secret.expose_secret(), "a secret from a file, 32 bytes long");
    from_file.finish().unwrap();

    let mut own = reader(&[("STOCK_SYNC_NAME_FILE", path), ("STOCK_SYNC_OTHER_FILE", path)]);
    own.required_text("STOCK_SYNC_NAME", "Name.");
    let found = mistakes(own);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("STOCK_SYNC_OTHER_FILE: is not a setting"), "{found:?}");

    let mut both = reader(&[("STOCK_SYNC_NAME_FILE", path), ("STOCK_SYNC_NAME", "x")]);
    both.required_text("STOCK_SYNC_NAME", "Name.");
    let rule = "STOCK_SYNC_NAME: set either STOCK_SYNC_NAME or STOCK_SYNC_NAME_FILE, not both";
    assert_eq!(mistakes(both), [rule]);

    let mut gone = reader(&[("STOCK_SYNC_NAME_FILE", "/no/such/file")]);
    gone.required_text("STOCK_SYNC_NAME", "Name.");
    let found = mistakes(gone);
    assert!(found[0].starts_with("STOCK_SYNC_NAME: STOCK_SYNC_NAME_FILE=/no/such/file: "), "{found:?}");
}

#[test]
fn the_database_may_be_set_in_parts() {
    let mut parts = reader(&[
        ("DATABASE_HOST", "db"),
        ("DATABASE_NAME", "shop one"),
        ("DATABASE_USER", "stock_sync"),
        ("DATABASE_PASSWORD", "p@ss/word"),
    ]);
    let database = parts.database();
    assert_eq!(database.url.expose_secret(), "postgres://stock_sync:p%40ss%2Fword@db:5432/shop%20one");
    parts.finish().unwrap();

    let mut nothing = reader(&[("DATABASE_HOST", "db")]);
    nothing.database();
    assert_eq!(
        mistakes(nothing),
        ["DATABASE_URL: is required (or DATABASE_HOST, DATABASE_NAME, DATABASE_USER and DATABASE_PASSWORD)"]
    );
}

#[test]
fn redis_may_be_set_in_parts() {
    let mut parts = reader(&[
        ("REDIS_HOST", "cache"),
        ("REDIS_PORT", "6380"),
        ("REDIS_DB", "3"),
        ("REDIS_PASSWORD", "p@ss"),
    ]);
    assert_eq!(parts.redis().url.expose_secret(), "redis://:p%40ss@cache:6380/3");
    parts.finish().unwrap();

    let mut host = reader(&[("REDIS_HOST", "cache"), ("REDIS_URL", "redis://other")]);
    assert_eq!(host.optional_redis().unwrap().url.expose_secret(), "redis://other");
    host.finish().unwrap();
    let mut wrong = reader(&[("REDIS_HOST", "a b"), ("REDIS_PORT", "0")]);
    wrong.optional_redis();
    let port = "REDIS_PORT: must be a whole number from 1 to 65535, is \"0\"";
    assert_eq!(mistakes(wrong), [port, "REDIS_HOST: must be the name or address of a host"]);
}

#[test]
fn encryption_keys_have_ids_and_exactly_32_bytes() {
    let given = format!("k2:{KEY}, k1:{KEY}");
    let mut good = reader(&[("ENCRYPTION_KEYS", &given)]);
    let keys = good.encryption().keys;
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["k2", "k1"]);
    assert_eq!(*keys[0].key, [0; 32]);
    good.finish().unwrap();

    let twice = format!("k1:{KEY},k1:{KEY}");
    let upper = format!("K1:{KEY}");
    for (given, rule) in [
        (KEY, "key 1: must be id:base64"),
        (twice.as_str(), "key 2: its id is used twice"),
        (upper.as_str(), "key 1: its id must be 1 to 32 of a-z, 0-9, _ and -"),
        ("k1:AAAA", "key 1: must be exactly 32 bytes"),
        ("k1:####", "key 1: must be standard base64"),
    ] {
        let mut bad = reader(&[("ENCRYPTION_KEYS", given)]);
        bad.encryption();
        assert_eq!(mistakes(bad), [format!("ENCRYPTION_KEYS: {rule}")]);
    }
}

#[test]
fn api_keys_have_an_id_a_hash_and_scopes() {
    let given = format!("robot:{SHA256}:stock-sync:read stock-sync:write; other:{SHA256}:a:read;");
    let mut good = reader(&[("AUTH_API_KEYS", &given)]);
    let keys = good.auth().api_keys;
    assert_eq!(keys.len(), 2);
    assert_eq!((keys[0].id.as_str(), keys[0].sha256[0]), ("robot", 0xe3));
    assert_eq!(keys[0].scopes, ["stock-sync:read", "stock-sync:write"]);
    good.finish().unwrap();

    for (given, rule) in [
        ("robot".to_owned(), "key 1: must be id:sha256:scopes"),
        (format!("ro_bot:{SHA256}:a:read"), "key 1: its id must be 1 to 32 of a-z, 0-9 and -"),
        (format!("a:{SHA256}:x;a:{SHA256}:x"), "key 2: its id is used twice"),
        (format!("a:{SHA256}: "), "key 1: needs at least one scope"),
    ] {
        let mut bad = reader(&[("AUTH_API_KEYS", &given)]);
        bad.auth();
        assert_eq!(mistakes(bad), [format!("AUTH_API_KEYS: {rule}")]);
    }
}

#[test]
fn injected_service_addresses_are_no_mistakes() {
    reader(&[
        ("STOCK_SYNC_SERVICE_HOST", "10.0.0.1"),
        ("STOCK_SYNC_SERVICE_PORT_HTTP", "8002"),
        ("STOCK_SYNC_PORT", "tcp://10.0.0.1:8002"),
        ("STOCK_SYNC_PORT_8002_TCP_ADDR", "10.0.0.1"),
        ("STOCK_SYNC_URL", "http://127.0.0.1:8002"),
    ])
    .finish()
    .unwrap();
    assert_eq!(mistakes(reader(&[("STOCK_SYNC_PORT_X", "1")])).len(), 1);
}

/// Variables of other programs in a process's environment: a shell, systemd, Kubernetes and others.
const OTHERS: &str = "PATH HOME USER LOGNAME SHELL LANG LC_ALL TERM TZ PWD HOSTNAME HOST PORT SHLVL TMPDIR DEBUGINFOD_URLS
    HTTP_PROXY NO_PROXY http_proxy no_proxy SSL_CERT_FILE RUST_LOG CARGO_HOME INVOCATION_ID JOURNAL_STREAM NODE_ENV CI
    KUBERNETES_SERVICE_HOST KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR REDIS_SERVICE_HOST REDIS_PORT_6379_TCP POD_IP
    POSTGRES_USER POSTGRES_PASSWORD PGHOST DATABASE_TYPE DATABASE_SSL DATABASE_SCHEMA DB_HOST LOG_DIR LOG_FILE API_KEY API_URL
    RABBITMQ_DEFAULT_USER OTEL_METRICS_EXPORTER OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_PROTOCOL OTEL_PROPAGATORS
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT AWS_REGION GITHUB_TOKEN DOCKER_HOST WEBHOOK_DISPATCHER_URL ALLEGRO_BACKUP_PORT";

/// Declares settings that several services share.
fn declare(reader: &mut Reader) {
    reader.http(8002);
    reader.log();
    reader.traces("stock-sync");
    reader.auth();
    reader.database();
    reader.redis();
    reader.amqp();
    reader.alerts();
    reader.encryption();
    reader.flag("WEBHOOK_ALLOW_HTTP", false, "a setting of a service without its prefix");
}

#[test]
fn a_variable_close_to_a_setting_is_a_near_miss() {
    for (given, expected) in [
        ("WEBHOOK_ALOW_HTTP", "WEBHOOK_ALLOW_HTTP"),
        ("WEBHOOK_ALLOW_HTPP", "WEBHOOK_ALLOW_HTTP"),
        ("WEBHOOKS_ALOW_HTTP_FILE", "WEBHOOK_ALLOW_HTTP"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("ENCRYPTION_KEY", "ENCRYPTION_KEYS"),
        ("REDIS_URLS", "REDIS_URL"),
        ("database_url", "DATABASE_URL"),
    ] {
        let mut given_one = reader(&[(given, "x")]);
        declare(&mut given_one);
        let shown: Vec<String> = given_one.near_misses().iter().map(ToString::to_string).collect();
        assert_eq!(shown, [format!("{given} is not a setting; did you mean {expected}?")]);
    }
}

#[test]
fn variables_of_other_programs_are_no_near_misses() {
    let variables: Vec<_> = OTHERS.split_whitespace().map(|name| (name, "x")).collect();
    let mut others = reader(&variables);
    declare(&mut others);
    assert_eq!(others.near_misses(), []);

    let names: Vec<String> = others.declared().iter().map(|one| one.name.to_owned()).collect();
    let files: Vec<String> = names.iter().map(|name| format!("{name}_FILE")).collect();
    let all: Vec<_> = names.iter().chain(&files).map(|name| (name.as_str(), "")).collect();
    let mut own = reader(&all);
    declare(&mut own);
    assert_eq!(own.near_misses(), [], "settings are near each other");
}

const BOT: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

#[test]
fn alerts_go_to_chats_or_only_to_the_log() {
    let mut given = reader(&[
        ("ALERTS_TELEGRAM_TOKEN", BOT),
        ("ALERTS_TELEGRAM_CHATS", "42, -1001234567890"),
        ("ALERTS_LANGUAGE", "pl"),
        ("ALERTS_QUIET_HOURS", "22:00-07:00"),
    ]);
    let alerts = given.alerts();
    given.finish().unwrap();
    let telegram = alerts.telegram.unwrap();
    assert_eq!((telegram.token.expose_secret(), telegram.chats), (BOT, vec![42, -1_001_234_567_890]));
    assert_eq!(telegram.url.as_str(), "https://api.telegram.org/");
    assert_eq!(alerts.language, domain::Language::Pl);
    assert_eq!(alerts.quiet_hours.unwrap().to_string(), "22:00-07:00");
    assert_eq!(alerts.time_zone.to_string(), "Europe/Warsaw");

    let mut nothing = reader(&[]);
    assert!(nothing.alerts().telegram.is_none());
    nothing.finish().unwrap();
}

#[test]
fn mistakes_of_alert_settings_do_not_show_the_token() {
    let secret = "hunter2:hunter2";
    let mut wrong = reader(&[
        ("ALERTS_TELEGRAM_TOKEN", secret),
        ("ALERTS_TELEGRAM_CHATS", "42,@shop"),
        ("ALERTS_TELEGRAM_URL", "api.telegram.org"),
        ("ALERTS_LANGUAGE", "de"),
        ("ALERTS_QUIET_HOURS", "22-7"),
        ("ALERTS_TIME_ZONE", "Warsaw"),
    ]);
    wrong.alerts();
    assert_eq!(
        mistakes(wrong),
        [
            "ALERTS_TELEGRAM_TOKEN: must be a bot's token as Telegram's @BotFather gives it: digits, a colon, letters",
            "ALERTS_TELEGRAM_CHATS: must be whole numbers separated by commas, is \"42,@shop\"",
            "ALERTS_TELEGRAM_URL: must be an http or https address without a password, is \"api.telegram.org\"",
            "ALERTS_LANGUAGE: must be ru, pl or en, is \"de\"",
            "ALERTS_QUIET_HOURS: must be two different times of day, such as 22:00-07:00, is \"22-7\"",
            "ALERTS_TIME_ZONE: must be a time zone's IANA name, such as Europe/Warsaw, is \"Warsaw\"",
        ]
    );
    let crowd = (1..=26).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for (variables, rule) in [
        (
            ("ALERTS_TELEGRAM_TOKEN", BOT),
            "ALERTS_TELEGRAM_CHATS: set it too: ALERTS_TELEGRAM_TOKEN is set".to_owned(),
        ),
        (
            ("ALERTS_TELEGRAM_CHATS", "42"),
            "ALERTS_TELEGRAM_TOKEN: set it too: ALERTS_TELEGRAM_CHATS is set".to_owned(),
        ),
        (
            ("ALERTS_TELEGRAM_CHATS", "42,-1,42"),
            "ALERTS_TELEGRAM_CHATS: must name each chat once, names 42 twice, is \"42,-1,42\"".to_owned(),
        ),
        (
            ("ALERTS_TELEGRAM_CHATS", crowd.as_str()),
            format!("ALERTS_TELEGRAM_CHATS: must name 25 chats at most, is {crowd:?}"),
        ),
    ] {
        let mut half = reader(&[variables]);
        half.alerts();
        assert_eq!(mistakes(half), [rule]);
    }
}

#[test]
fn http_settings_have_defaults_and_rules() {
    let mut plain = reader(&[]);
    let http = plain.http(8002);
    assert_eq!((http.internal_port, &http.tls), (None, &None));
    let limit = http.rate_limit;
    assert_eq!((limit.per_minute, limit.burst, limit.service_per_minute), (600, 100, 0));
    plain.finish().unwrap();

    let mut wrong = reader(&[
        ("API_PORT", "9000"),
        ("INTERNAL_PORT", "9000"),
        ("RATE_LIMIT_PER_MINUTE", "many"),
        ("RATE_LIMIT_BURST", "0"),
        ("API_TLS_KEY", "/no/such/file"),
        ("AUTH_JWKS_URL", "http://issuer.example/keys"),
    ]);
    wrong.http(8002);
    wrong.auth();
    assert_eq!(
        mistakes(wrong),
        [
            "INTERNAL_PORT: must differ from API_PORT",
            "RATE_LIMIT_PER_MINUTE: must be a whole number from 0 to 1000000, is \"many\"",
            "RATE_LIMIT_BURST: must be a whole number from 1 to 1000000, is \"0\"",
            "API_TLS_CERT: is required where API_TLS_KEY is set",
            "AUTH_JWKS_URL: must be an https address without a password (http on this machine only), is \"http://issuer.example/keys\"",
        ]
    );

    let mut alone = reader(&[("API_TLS_CERT", "/no/such/file")]);
    alone.http(8002);
    assert_eq!(mistakes(alone), ["API_TLS_KEY: is required where API_TLS_CERT is set"]);
    let mut absent = reader(&[("API_TLS_CERT", "/no/such/file"), ("API_TLS_KEY", "/no/such/file")]);
    absent.http(8002);
    assert!(mistakes(absent)[0].starts_with("API_TLS_CERT: /no/such/file: "));

    for url in
        ["https://issuer.example/keys", "http://127.0.0.1:1/keys", "http://[::1]/", "http://localhost/"]
    {
        let mut fine = reader(&[("AUTH_JWKS_URL", url)]);
        assert!(fine.auth().jwks_url.is_some(), "{url}");
        fine.finish().unwrap();
    }
}
