//! `up`, `down`, `status`, `logs`, `psql`.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use stack::build::{self, Profile};
use stack::servers::reaper_lock;
use stack::{SERVICES, Stack, database_of, folder, holder, psql, root};

const START_LIMIT: Duration = Duration::from_mins(3);
const END_LIMIT: Duration = Duration::from_mins(1);

/// Starts everything and waits; with `detach` returns when everything is ready.
pub(crate) fn up(detach: bool, services: Option<Vec<String>>) -> Result<ExitCode> {
    let all = || SERVICES.iter().map(|service| service.name.to_owned()).collect();
    let services: Vec<String> =
        services.map_or_else(all, |named| named.into_iter().filter(|it| !it.is_empty()).collect());
    if holder::process()?.is_some() {
        bail!("a stack of this checkout runs already; `cargo xtask down` ends it");
    }
    build::stack(Profile::Demo)?;
    if detach {
        return up_detached(&services);
    }
    let _lock = holder::lock()?;
    println!("starting Postgres, Redis, RabbitMQ, the sandbox; services: {}", services.join(", "));
    let _stack = Stack::start(Profile::Demo, &services)?;
    holder::show()?;
    println!("Ctrl-C or `cargo xtask down` ends it; its data is deleted then.");
    loop {
        std::thread::park();
    }
}

/// Starts another process of this program that holds the stack.
fn up_detached(services: &[String]) -> Result<ExitCode> {
    let environment = folder().join("env");
    let _absent = std::fs::remove_file(&environment);
    let log = root().join("target").join("stack-up.log");
    let output = File::create(&log)?;
    let mut process = Command::new(std::env::current_exe()?)
        .args(["up", "--services", &services.join(",")])
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let deadline = Instant::now() + START_LIMIT;
    while !environment.exists() {
        if let Some(status) = process.try_wait()? {
            bail!("the stack did not start ({status}):\n{}", std::fs::read_to_string(&log)?);
        }
        if Instant::now() > deadline {
            kill(Pid::from_raw(i32::try_from(process.id())?), Signal::SIGTERM)?;
            bail!("the stack was not ready within {START_LIMIT:?}; see {}", log.display());
        }
        sleep(Duration::from_millis(100));
    }
    holder::show()?;
    println!("`cargo xtask down` ends it; its data is deleted then.");
    Ok(ExitCode::SUCCESS)
}

/// Ends the stack.
pub(crate) fn down() -> Result<ExitCode> {
    let Some(process) = holder::process()? else {
        println!("no stack runs in this checkout");
        return Ok(ExitCode::SUCCESS);
    };
    // Its reaper ends everything afterwards.
    kill(process, Signal::SIGTERM).context("cannot end the stack")?;
    let deadline = Instant::now() + END_LIMIT;
    let reaper = File::create(reaper_lock(&folder()))?;
    while holder::process()?.is_some() || reaper.try_lock().is_err() {
        if Instant::now() > deadline {
            bail!("the stack did not end within {END_LIMIT:?}");
        }
        sleep(Duration::from_millis(50));
    }
    let _absent = std::fs::remove_file(folder().join("env"));
    println!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Prints which services run and whether they are ready.
pub(crate) fn status() -> Result<ExitCode> {
    if holder::process()?.is_none() {
        println!("no stack runs in this checkout");
        return Ok(ExitCode::FAILURE);
    }
    let environment = holder::environment()?;
    let mut all_ready = true;
    for service in SERVICES {
        let Some((_, url)) = environment.iter().find(|(name, _)| name == service.url_variable) else {
            continue;
        };
        let is_ready = stack::answers(&format!("{url}/readyz"));
        all_ready &= is_ready;
        println!("{:<22}{:<12}{url}", service.name, if is_ready { "ready" } else { "not ready" });
    }
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows a program's log.
pub(crate) fn logs(name: &str, follow: bool) -> Result<ExitCode> {
    let folder = folder().join("logs");
    let log = folder.join(format!("{name}.log"));
    if !log.exists() {
        let mut known: Vec<String> = std::fs::read_dir(&folder)
            .context("no stack has run in this checkout")?
            .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
            .collect();
        known.sort();
        bail!("there is no log {name:?}; there are {}", known.join(", "));
    }
    let mut tail = Command::new("tail");
    tail.args(["-n", "200"]);
    if follow {
        tail.arg("-f");
    }
    Err(tail.arg(log).exec()).context("cannot start tail")
}

/// Opens a service's schema in psql, as its role.
pub(crate) fn sql(name: &str, arguments: &[String]) -> Result<ExitCode> {
    let service = SERVICES.iter().find(|service| service.name == name);
    let service = service.with_context(|| {
        let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        format!("there is no service {name:?}; there are {}", known.join(", "))
    })?;
    let environment = holder::environment()?;
    let address = environment.iter().find(|(name, _)| name == "DATABASE_URL");
    let database = database_of(&address.context("the stack names no database")?.1, service.role)?;
    Err(Command::new(psql()?).arg(database).args(arguments).exec()).context("cannot start psql")
}
