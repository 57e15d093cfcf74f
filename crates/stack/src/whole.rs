//! The whole of Zaplecze on this machine: private servers, the sandbox, the services.

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::build::Profile;
use crate::database::{database_of, psql};
use crate::process::{self, Server, free_ports, wait_for_all};
use crate::servers::{self, Keeping, Servers};
use crate::services::{CLIENT_ID, CLIENT_SECRET, SERVICES, Service};
use crate::{answers, folder, root};

/// The settings of Allegro's addresses; here both name the sandbox.
const ALLEGRO: [&str; 2] = ["ALLEGRO_API_URL", "ALLEGRO_AUTH_URL"];
/// Lifetime of a token for trials.
const TOKEN_SECONDS: u32 = 7 * 86_400;

/// A running stack. It ends when the value is dropped, or when its process ends.
pub struct Stack {
    servers: Servers,
    programs: Vec<Server>,
    addresses: Vec<(&'static str, String)>,
    /// The address of each process of a service.
    processes: Vec<(&'static str, String)>,
    common: Vec<(&'static str, String)>,
    /// Settings of this run that replace the usual ones.
    settings: Vec<(&'static str, String)>,
    folder: PathBuf,
    binaries: PathBuf,
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.servers.reaper().release();
        wait_for_all(self.programs.iter_mut().chain(self.servers.all()));
    }
}

impl Stack {
    /// Starts servers, sandbox and the named services, built with `profile`, and returns when all are ready.
    pub fn start(profile: Profile, names: &[String]) -> Result<Self> {
        Self::start_with(profile, names, &[])
    }

    /// As `start`, with some settings of the services replaced.
    pub fn start_with(profile: Profile, names: &[String], settings: &[(&'static str, &str)]) -> Result<Self> {
        let unknown = names.iter().find(|name| SERVICES.iter().all(|service| service.name != **name));
        if let Some(name) = unknown {
            let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
            bail!("there is no service {name:?}; there are {}", known.join(", "));
        }
        let folder = folder();
        let servers = servers::start(&folder, Keeping::Everything)?;
        let mut stack = Self {
            programs: Vec::new(),
            addresses: Vec::new(),
            processes: Vec::new(),
            common: Vec::new(),
            settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            binaries: profile.folder(),
            folder,
            servers,
        };
        std::fs::create_dir_all(stack.folder.join("logs"))?;
        stack.prepare_database()?;
        let key: [u8; 32] = random()?;
        let secret: [u8; 36] = random()?;
        stack.common = vec![
            ("REDIS_URL", stack.servers.address("REDIS_URL").to_owned()),
            ("AMQP_URL", stack.servers.address("AMQP_URL").to_owned()),
            ("API_HOST", "127.0.0.1".to_owned()),
            ("LOG_LEVEL", "INFO".to_owned()),
            // There is no load balancer.
            ("SHUTDOWN_DELAY_SECONDS", "0".to_owned()),
            ("AUTH_JWT_SECRET", STANDARD.encode(secret)),
            ("ENCRYPTION_KEYS", format!("k1:{}", STANDARD.encode(key))),
        ];
        stack.start_sandbox()?;
        for service in SERVICES.iter().filter(|service| names.iter().any(|name| name == service.name)) {
            stack.start_service(service)?;
        }
        stack.write_environment()?;
        Ok(stack)
    }

    fn prepare_database(&self) -> Result<()> {
        let script = root().join("deploy/postgres/bootstrap.sql");
        let mut psql = Command::new(psql()?);
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", self.servers.address("DATABASE_URL"), "-f"]);
        process::run(psql.arg(script)).context("cannot make roles and schemas")?;
        Ok(())
    }

    fn start_sandbox(&mut self) -> Result<()> {
        let [port] = free_ports()?;
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(self.binaries.join("zaplecze-sandbox"));
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--device-interval", "1"]);
        command.args(["--client-id", CLIENT_ID, "--client-secret", CLIENT_SECRET]);
        let log = self.log("sandbox");
        let mut server = Server::start("sandbox", command, log, self.servers.reaper())?;
        let probe = format!("{url}/_sandbox/stats");
        server.wait_until_ready(Duration::from_secs(20), || answers(&probe))?;
        self.programs.push(server);
        for name in ["SANDBOX_URL"].into_iter().chain(ALLEGRO) {
            self.addresses.push((name, url.clone()));
        }
        Ok(())
    }

    fn start_service(&mut self, service: &'static Service) -> Result<()> {
        self.start_process(service.name, service, None)
    }

    /// Starts one of several processes of a service, under its own name and with these roles. The service's address is
    /// the address of the first one.
    pub fn start_replica(&mut self, name: &'static str, service: &str, roles: &str) -> Result<()> {
        let service = SERVICES.iter().find(|known| known.name == service).context("no such service")?;
        self.start_process(name, service, Some(roles))
    }

    fn start_process(
        &mut self,
        name: &'static str,
        service: &'static Service,
        roles: Option<&str>,
    ) -> Result<()> {
        let [port] = free_ports()?;
        let program = self.binaries.join(service.binary);
        let environment = self.environment(service, port)?;
        process::run(Command::new(&program).arg("migrate").env_clear().envs(environment.clone()))
            .with_context(|| format!("cannot migrate the schema of {}", service.name))?;
        let mut command = Command::new(&program);
        command.arg("serve").env_clear().envs(environment);
        if let Some(roles) = roles {
            command.args(["--role", roles]);
        }
        let log = self.log(name);
        let server = Server::start(name, command, log, self.servers.reaper())?;
        self.programs.push(server);
        let address = format!("http://127.0.0.1:{port}");
        self.processes.push((name, address.clone()));
        if self.address(service.url_variable).is_empty() {
            self.addresses.push((service.url_variable, address));
        }
        self.wait_until_ready(name)
    }

    /// The environment of a service. It inherits nothing from the caller's environment except PATH.
    fn environment(&self, service: &Service, port: u16) -> Result<Vec<(&'static str, String)>> {
        let mut environment = self.common.clone();
        environment.extend(
            ["PATH", "RUST_BACKTRACE"].into_iter().filter_map(|it| Some((it, std::env::var(it).ok()?))),
        );
        environment.push(("DATABASE_URL", self.database(service.role)?));
        environment.push(("API_PORT", port.to_string()));
        environment.extend(service.settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        environment.extend(self.settings.clone());
        if service.settings.iter().any(|(name, _)| *name == "ALLEGRO_CLIENT_ID") {
            environment.extend(self.addresses.iter().filter(|(name, _)| ALLEGRO.contains(name)).cloned());
        }
        if service.settings.iter().any(|(name, _)| *name == "ALLEGRO_BACKUP_API_KEY") {
            let backup = self.addresses.iter().find(|(name, _)| *name == "ALLEGRO_BACKUP_URL");
            environment.extend(backup.cloned());
        }
        Ok(environment)
    }

    /// The search path of a role.
    pub fn database(&self, role: &str) -> Result<String> {
        database_of(self.servers.address("DATABASE_URL"), role)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Runs a query as a role, and returns the only value of its result as psql prints it.
    pub fn ask(&self, role: &str, sql: &str) -> Result<String> {
        process::run(Command::new(psql()?).args(["-At", "-d", &self.database(role)?, "-c", sql]))
    }

    /// An address by its variable.
    pub fn address(&self, variable: &str) -> &str {
        let found = self.addresses.iter().find(|(name, _)| *name == variable);
        found.map(|(_, url)| url.as_str()).unwrap_or_default()
    }

    /// The address of one process of a service.
    pub fn address_of(&self, process: &str) -> Result<&str> {
        let found = self.processes.iter().find(|(name, _)| *name == process);
        found.map(|(_, address)| address.as_str()).with_context(|| format!("there is no {process}"))
    }

    /// The servers of the stack.
    pub const fn servers(&mut self) -> &mut Servers {
        &mut self.servers
    }

    /// Kills a program with SIGKILL.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.program(name)?.kill()
    }

    /// Restarts a killed program and returns when it is ready.
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let program = self.programs.iter_mut().find(|program| program.name == name);
        program.with_context(|| format!("there is no {name}"))?.start_again(self.servers.reaper())?;
        self.wait_until_ready(name)
    }

    /// The process id of a program.
    pub fn process(&mut self, name: &str) -> Result<u32> {
        Ok(self.program(name)?.id())
    }

    fn program(&mut self, name: &str) -> Result<&mut Server> {
        let program = self.programs.iter_mut().find(|program| program.name == name);
        program.with_context(|| format!("there is no {name}"))
    }

    fn wait_until_ready(&mut self, name: &str) -> Result<()> {
        let Ok(address) = self.address_of(name) else { return Ok(()) };
        let probe = format!("{address}/readyz");
        let ready = || answers(&probe);
        self.program(name)?.wait_until_ready(Duration::from_mins(1), ready)
    }

    /// A token with every scope of every service, and without a rate limit.
    pub fn token(&self) -> Result<String> {
        let mut scope = "service ".to_owned();
        for service in SERVICES {
            let name = service.name;
            write!(scope, "{name}:read {name}:write {name}:admin ")?;
        }
        let service = SERVICES.first().context("there is no service")?;
        let seconds = TOKEN_SECONDS.to_string();
        let words = ["token", "issue", "--sub", "admin", "--scope", scope.trim(), "--ttl", &seconds];
        Ok(self.run_service(service.name, &words)?.trim().to_owned())
    }

    /// Runs a command of a service to its end, in the service's environment, and returns its output.
    pub fn run_service(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let service = SERVICES.iter().find(|known| known.name == name).context("no such service")?;
        let mut command = Command::new(self.binaries.join(service.binary));
        process::run(command.args(arguments).env_clear().envs(self.environment(service, 0)?))
    }

    /// Writes all addresses, for scripts.
    fn write_environment(&self) -> Result<()> {
        let mut lines = String::new();
        for (name, value) in self.servers.environment.iter().chain(&self.addresses) {
            if !ALLEGRO.contains(name) {
                writeln!(lines, "{name}={value}")?;
            }
        }
        writeln!(lines, "ADMIN_TOKEN={}", self.token()?)?;
        std::fs::write(self.folder.join("env"), lines)?;
        Ok(())
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
