//! A database of a test's own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use url::Url;
use uuid::Uuid;

use crate::given;

/// Why a template may not be saved.
const NOT_SAVED: [SqlState; 3] =
    [SqlState::DUPLICATE_DATABASE, SqlState::UNIQUE_VIOLATION, SqlState::OBJECT_IN_USE];

/// An empty database with one service's schema, owned by a role that may touch nothing else, as in production.
/// Dropped with the value.
pub struct Database {
    name: String,
    schema: String,
    url: SecretString,
}

impl Database {
    /// Makes a database whose `schema` was filled by `sql`.
    ///
    /// # Panics
    /// When there is no server, or the SQL is wrong.
    pub async fn create(schema: &str, sql: &str) -> Self {
        let name = new_name();
        let admin = connect(&given("DATABASE_URL")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
        make_role(&admin, schema).await;
        let inside = connect(address(&name, None).as_str()).await;
        inside.batch_execute("REVOKE ALL ON SCHEMA public FROM PUBLIC").await.expect("privileges");
        inside.batch_execute(&schema_sql(&name, schema)).await.expect("a schema");
        let url = address(&name, Some(schema));
        connect(url.as_str()).await.batch_execute(sql).await.expect("the schema's tables");
        Self { name, schema: schema.to_owned(), url: String::from(url).into() }
    }

    /// Makes a database with the tables of one service if this run has a template of them, otherwise one whose `schema` is
    /// empty. [`Program::start`](crate::Program::start) migrates the schema and saves the template.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn of_service(schema: &str) -> Self {
        let (name, template) = (new_name(), template_of(schema));
        let admin = connect(&given("DATABASE_URL")).await;
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        match admin.batch_execute(&sql).await {
            Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                return Self::create(schema, "").await;
            }
            created => created.expect("a database"),
        }
        // Settings of a role in a database are not copied.
        admin.batch_execute(&search_path_sql(&name, schema)).await.expect("a search path");
        let url = address(&name, Some(schema));
        Self { name, schema: schema.to_owned(), url: String::from(url).into() }
    }

    /// Stops the database's clock at a moment, for connections opened from now on: there `now()` is this moment, until
    /// [`Database::set_clock`] moves it.
    ///
    /// # Panics
    /// When there is no server, or it was done before.
    pub async fn stop_clock(&self, at: OffsetDateTime) {
        let (schema, name) = (&self.schema, &self.name);
        let client = connect(self.url.expose_secret()).await;
        let sql = format!(
            "CREATE TABLE stopped_clock (at timestamptz NOT NULL); INSERT INTO stopped_clock VALUES ('-infinity'); \
             CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM {schema}.stopped_clock'"
        );
        client.batch_execute(&sql).await.expect("a clock of its own");
        self.set_clock(at).await;
        // What is named without a schema is looked for in Postgres's own first, unless that is told to come last.
        let found_first =
            format!("ALTER ROLE {schema} IN DATABASE {name} SET search_path = {schema}, pg_catalog");
        connect(address(name, None).as_str()).await.batch_execute(&found_first).await.expect("a search path");
    }

    /// Moves a clock that was stopped.
    ///
    /// # Panics
    /// When there is no server, or the clock was not stopped.
    pub async fn set_clock(&self, at: OffsetDateTime) {
        let client = connect(self.url.expose_secret()).await;
        let at = at.format(&Rfc3339).expect("a moment");
        let sql = format!("UPDATE stopped_clock SET at = '{at}'");
        client.batch_execute(&sql).await.expect("a clock that stands");
    }

    /// A pool of another service's role in the same database.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn role_in(&self, role: &str) -> pg::Pool {
        make_role(&connect(&given("DATABASE_URL")).await, role).await;
        let url = String::from(address(&self.name, Some(role))).into();
        pg::Pool::new(&url, 1, "test").expect("a pool")
    }

    /// Another service's schema and role in the same database, filled by `sql`; a pool of that role.
    ///
    /// # Panics
    /// When there is no server, or the SQL is wrong.
    pub async fn service(&self, schema: &str, sql: &str) -> pg::Pool {
        let pool = self.role_in(schema).await;
        let inside = connect(address(&self.name, None).as_str()).await;
        inside.batch_execute(&schema_sql(&self.name, schema)).await.expect("a schema");
        connect(address(&self.name, Some(schema)).as_str())
            .await
            .batch_execute(sql)
            .await
            .expect("its tables");
        pool
    }

    /// Counts rows as the service's role sees them.
    ///
    /// # Panics
    /// When there is no server, or no such rows can be asked for.
    pub async fn count(&self, rows: &str) -> i64 {
        let client = connect(self.url.expose_secret()).await;
        let counted = client.query_one(&format!("SELECT count(*) FROM {rows}"), &[]).await;
        counted.expect("a table to count").get(0)
    }

    /// Runs SQL as the service's role.
    ///
    /// # Panics
    /// When there is no server, or the SQL is wrong.
    pub async fn run_sql(&self, sql: &str) {
        connect(self.url.expose_secret()).await.batch_execute(sql).await.expect("the SQL");
    }

    /// The schema's tables and their columns: a line `table: column column …` for each table.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn columns(&self) -> String {
        let sql = "SELECT c.relname || ': ' || string_agg(a.attname, ' ' ORDER BY a.attnum) || E'\n' \
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                   JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND a.attnum > 0 \
                       AND NOT a.attisdropped AND c.relname <> '__diesel_schema_migrations' \
                   GROUP BY c.relname ORDER BY c.relname";
        let rows = connect(self.url.expose_secret()).await.query(sql, &[]).await.expect("an answer");
        rows.iter().map(|row| row.get::<_, String>(0)).collect()
    }

    /// Where the service's role finds it.
    pub const fn url(&self) -> &SecretString {
        &self.url
    }

    /// A pool of the service's role.
    ///
    /// # Panics
    /// Never: the URL is well-formed.
    pub fn pool(&self) -> pg::Pool {
        pg::Pool::new(&self.url, 10, "test").expect("a pool")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A runtime cannot be blocked from within: dropping happens on a thread of its own.
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let admin = connect(&given("DATABASE_URL")).await;
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                // Each try waits five seconds for those it has told to go.
                let mut tries = 1;
                loop {
                    match admin.batch_execute(&drop).await {
                        Err(error) if tries < 7 && error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                            tries += 1;
                        }
                        dropped => break dropped.expect("the database dropped"),
                    }
                }
            });
        });
        // A second panic while one unwinds would hide the first.
        let is_dropped = dropped.join().is_ok();
        assert!(is_dropped || std::thread::panicking(), "the test's database could not be dropped");
    }
}

/// True when the schema of the service in the database at `url` is migrated.
pub(crate) fn is_migrated(url: &SecretString) -> bool {
    let url = url.expose_secret().to_owned();
    on_a_thread(async move {
        let sql = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL";
        connect(&url).await.query_one(sql, &[]).await.expect("an answer").get(0)
    })
}

/// Saves the database at `url`, which nobody uses, as the template of its service.
pub(crate) fn save_template(url: &SecretString) {
    let url = Url::parse(url.expose_secret()).expect("a URL");
    on_a_thread(async move {
        let (name, template) = (url.path().trim_start_matches('/'), template_of(url.username()));
        let admin = connect(&given("DATABASE_URL")).await;
        match admin.batch_execute(&format!("CREATE DATABASE {template} TEMPLATE {name}")).await {
            // Another test has saved it, or a session of the migration has not ended yet and the next test saves it.
            Err(error) if error.code().is_some_and(|code| NOT_SAVED.contains(code)) => {}
            saved => saved.expect("a template"),
        }
    });
}

/// Runs it to its end. A runtime cannot be blocked from within, so it runs on a thread of its own.
fn on_a_thread<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work)
        });
        thread.join().expect("no panic on the thread")
    })
}

fn new_name() -> String {
    format!("test_{}", Uuid::now_v7().simple())
}

/// The name of the template of a service. It changes with the migrations, because a server may outlast a run.
fn template_of(schema: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(schema);
    let mut hasher = DefaultHasher::new();
    let mut migrations: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder of migrations")
        .map(|entry| entry.expect("an entry").path().join("up.sql"))
        .filter(|file| file.exists())
        .map(|file| std::fs::read(file).expect("a migration"))
        .collect();
    migrations.sort();
    migrations.hash(&mut hasher);
    format!("template_{schema}_{:x}", hasher.finish())
}

/// Tests run side by side: several may want the same role at once.
async fn make_role(admin: &Client, role: &str) {
    let sql = format!(
        "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    admin.batch_execute(&sql).await.expect("a role");
}

/// A schema and its role, as deploy/postgres/bootstrap.sql has them.
fn schema_sql(database: &str, schema: &str) -> String {
    format!("CREATE SCHEMA {schema} AUTHORIZATION {schema}; {}", search_path_sql(database, schema))
}

fn search_path_sql(database: &str, schema: &str) -> String {
    format!("ALTER ROLE {schema} IN DATABASE {database} SET search_path = {schema}")
}

fn address(database: &str, role: Option<&str>) -> Url {
    let mut url = Url::parse(&given("DATABASE_URL")).expect("DATABASE_URL is a URL");
    url.set_path(database);
    if let Some(role) = role {
        url.set_username(role).expect("a URL with a host");
    }
    url
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection to Postgres");
    // Ends with the client.
    tokio::spawn(connection);
    client
}
