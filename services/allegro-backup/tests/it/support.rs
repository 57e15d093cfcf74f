//! A shop at the sandbox, and the service that backs it up.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use sandbox::{Sandbox, Settings};
use serde_json::{Value, json};
use testkit::{Database, Program, Proxy, Telegram, Vhost, eventually, eventually_within};

pub(crate) const USER: &str = "sklep-ząbek";
/// As it is written in a path.
pub(crate) const USER_PATH: &str = "sklep-z%C4%85bek";

/// The bot that tells people, and the person it tells.
pub(crate) const BOT: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
pub(crate) const OWNER: i64 = 42;

/// Everything one test needs. Ends with the value.
pub(crate) struct Shop {
    pub(crate) service: Program,
    pub(crate) pool: pg::Pool,
    pub(crate) telegram: Telegram,
    pub(crate) vhost: Vhost,
    /// Between the service and Redis.
    pub(crate) redis: Proxy,
    /// Between the service and the sandbox.
    pub(crate) allegro: Proxy,
    pub(crate) client_id: String,
    sandbox: Sandbox,
    agent: ureq::Agent,
    _database: Database,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Settings { device_interval: 1, ..Settings::default() }).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        Self::open_told(settings, &[]).await
    }

    /// With settings of the service that differ.
    pub(crate) async fn open_told(settings: Settings, told: &[(&str, &str)]) -> Self {
        let (database, vhost) = (Database::of_service("allegro_backup").await, Vhost::create());
        vhost.leave_out_subscribers();
        // A pause after 429 is shared by client id: each test has its own.
        let client_id = uuid::Uuid::now_v7().to_string();
        let sandbox = Sandbox::start(Settings { client_id: client_id.clone(), ..settings }).unwrap();
        let telegram = Telegram::start();
        let (allegro, redis) = (Proxy::before(&sandbox.url()), Proxy::before(&testkit::redis_url()));
        let url = allegro.url().trim_end_matches('/').to_owned();
        let (bot_url, owner) = (telegram.url(), OWNER.to_string());
        let mut environment = vec![
            ("REDIS_URL", redis.url()),
            ("ALERTS_TELEGRAM_URL", &bot_url),
            ("ALERTS_TELEGRAM_TOKEN", BOT),
            ("ALERTS_TELEGRAM_CHATS", &owner),
            ("ALERTS_LANGUAGE", "pl"),
            ("ALLEGRO_CLIENT_ID", &client_id),
            ("ALLEGRO_CLIENT_SECRET", "sandbox-secret"),
            ("ALLEGRO_API_URL", &url),
            ("ALLEGRO_AUTH_URL", &url),
            ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "1"),
            ("ALLEGRO_BACKUP_RETRY_INTERVAL_SECONDS", "1"),
            // A service that merely waits for the processor is not taken for dead.
            ("ALLEGRO_BACKUP_TASK_SILENCE_SECONDS", "20"),
        ];
        environment.extend(told);
        let service = Program::start(
            env!("CARGO_BIN_EXE_zaplecze-allegro-backup"),
            "allegro-backup",
            database.url(),
            vhost.url(),
            &environment,
        );
        // A sandbox that is busy for long closes what is kept open.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_mins(2)))
            .max_idle_connections(0);
        let pool = database.pool();
        Self {
            service,
            pool,
            telegram,
            vhost,
            redis,
            allegro,
            client_id,
            sandbox,
            agent: config.build().into(),
            _database: database,
        }
    }

    /// Starts the service again after it died. What it was at is taken over at once: its silence has lasted long enough.
    pub(crate) async fn start_again(&mut self) {
        self.let_tasks_go().await;
        self.service.start_again();
    }

    /// The same, to die at a failpoint.
    pub(crate) async fn start_to_die_at(&mut self, failpoint: &str) {
        self.let_tasks_go().await;
        self.service.start_to_die_at(failpoint);
    }

    /// Lets the silence of the one process there was, and is not any more, have lasted long enough.
    async fn let_tasks_go(&self) {
        // What the dead process had asked for may still be under way: a task that begins, a heart that beats.
        let sessions =
            "pg_stat_activity WHERE datname = current_database() AND application_name = 'allegro-backup'";
        self.until(sessions, 0).await;
        self.run("UPDATE task_history SET heartbeat_at = now() - interval '1 hour' WHERE status = 'running'")
            .await;
    }

    /// Asks the sandbox for something.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/_sandbox{path}", self.sandbox.url());
        let sent = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            "PUT" => self.agent.put(&url).send_json(body),
            "PATCH" => self.agent.patch(&url).send_json(body),
            _ => self.agent.post(&url).send_json(body),
        };
        sent.unwrap().body_mut().read_json().unwrap()
    }

    /// How often the sandbox has given a new pair for a refresh token.
    pub(crate) fn refreshes(&self) -> u64 {
        self.admin("GET", "/stats", &json!({}))["refreshes"].as_u64().unwrap()
    }

    /// How often the sandbox has given no tokens; null where it always has. It gives none to a poll that comes before the
    /// owner has agreed.
    pub(crate) fn refused(&self) -> Value {
        self.admin("GET", "/stats", &json!({}))["requests"]["POST token"]["400"].clone()
    }

    /// The truth about every order: id, status, fulfillment status.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let url = format!("{}/_sandbox/journal", self.sandbox.url());
        let text = self.agent.get(url).call().unwrap().body_mut().read_to_string().unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Begins connecting and returns the answer.
    pub(crate) fn initialize(&self) -> Value {
        let (status, begun) = self
            .service
            .post("/tokens/auth/initialize", &json!({ "user_id": USER, "account_name": "Świece" }));
        assert_eq!(status, 202, "{begun}");
        begun
    }

    /// Waits until connecting has ended, and returns how.
    pub(crate) async fn authorization(&self, begun: &Value) -> Value {
        let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
        let ended = async || {
            let (status, authorization) = self.service.get(&path);
            (status == 200 && authorization["status"] != "pending").then_some(authorization)
        };
        // A poller that died keeps its turn for 24 s.
        eventually_within(Duration::from_mins(1), "the authorization to end", ended).await
    }

    /// Connects the shop and returns the account's id.
    pub(crate) async fn connect(&self) -> String {
        let begun = self.initialize();
        let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
        self.admin("POST", &path, &json!({}));
        let ended = self.authorization(&begun).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        ended["token_id"].as_str().unwrap().to_owned()
    }

    /// A pair of tokens a seller has given to an application, as Allegro sent it.
    pub(crate) fn pair(&self, seller: &str) -> Value {
        let basic = STANDARD.encode(format!("{}:sandbox-secret", self.client_id));
        let ask = |path: &str, form: &[(&str, &str)]| -> Value {
            let request = self.agent.post(format!("{}/auth/oauth/{path}", self.sandbox.url()));
            let sent =
                request.header("Authorization", format!("Basic {basic}")).send_form(form.iter().copied());
            sent.unwrap().body_mut().read_json().unwrap()
        };
        let begun = ask("device", &[("client_id", &self.client_id)]);
        let code = begun["user_code"].as_str().unwrap();
        self.admin("POST", &format!("/authorizations/{code}/approve"), &json!({ "seller_id": seller }));
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        ask("token", &[("grant_type", grant), ("device_code", begun["device_code"].as_str().unwrap())])
    }

    /// Runs a command of the service; its exit code and everything it says.
    pub(crate) fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.service.command(arguments, &[]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Runs one of the service's schedules now, and waits for its end.
    pub(crate) async fn run_schedule(&self, name: &str) {
        let last = |shop: &Self| shop.schedule(name)["last_success_at"].clone();
        let before = last(self);
        let (status, answer) = self.service.post(&format!("/sync/schedules/{name}/run"), &json!({}));
        assert_eq!(status, 202, "{answer}");
        eventually(&format!("{name} to have run"), async || (last(self) != before).then_some(())).await;
    }

    pub(crate) fn schedule(&self, name: &str) -> Value {
        let (_, page) = self.service.get("/sync/schedules?limit=200");
        page["items"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned().unwrap_or_default()
    }

    /// Starts what the route starts, and waits for its end.
    pub(crate) async fn start(&self, path: &str, body: &Value) -> Value {
        let (status, started) = self.service.post(path, body);
        assert_eq!(status, 202, "{started}");
        self.ended(started["task_id"].as_str().unwrap()).await
    }

    /// The task, once it has ended well. A slow machine takes long to read an account.
    pub(crate) async fn ended(&self, task_id: &str) -> Value {
        let path = format!("/sync/tasks/{task_id}");
        eventually_within(Duration::from_mins(1), "the task to end", async || {
            let (_, task) = self.service.get(&path);
            (task["status"] == "SUCCESS").then_some(task)
        })
        .await
    }

    /// How the shop's sync goes.
    pub(crate) fn standing(&self) -> Value {
        self.service.get(&format!("/sync/status/{USER_PATH}")).1["accounts"][0].clone()
    }

    /// Waits until the list was read to its end.
    pub(crate) async fn until_read(&self) {
        eventually("the list to be read", async || {
            self.standing()["last_complete_list_sync"].is_string().then_some(())
        })
        .await;
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {from}")).get_result(&mut *conn).await.unwrap();
        counted.count
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut conn = self.pool.get().await.unwrap();
        conn.batch_execute(sql).await.unwrap();
    }

    pub(crate) async fn until(&self, from: &str, wanted: i64) {
        eventually(&format!("{wanted} rows in {from}"), async || {
            (self.count(from).await == wanted).then_some(())
        })
        .await;
    }

    /// Rows as text.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        let mut conn = self.pool.get().await.unwrap();
        let rows: Vec<Line> =
            sql_query(format!("SELECT q::text AS line FROM ({sql}) AS q")).load(&mut *conn).await.unwrap();
        rows.into_iter().map(|row| row.line).collect()
    }

    /// Each order's id with its status and the seller's status, at Allegro and in the backup, sorted.
    pub(crate) async fn compare(&self) -> (Vec<String>, Vec<String>) {
        let mut source: Vec<String> = self
            .journal()
            .iter()
            .map(|order| {
                let field = |name: &str| order[name].as_str().unwrap().to_owned();
                format!("({},{},{})", field("order_id"), field("status"), field("fulfillment_status"))
            })
            .collect();
        let mut stored = self.lines("SELECT allegro_order_id, status, fulfillment_status FROM orders").await;
        source.sort();
        stored.sort();
        (source, stored)
    }

    /// Waits until the backup holds what Allegro has.
    pub(crate) async fn until_equal(&self) {
        eventually("the backup to hold what Allegro has", async || {
            let (source, stored) = self.compare().await;
            (source == stored).then_some(())
        })
        .await;
    }
}
