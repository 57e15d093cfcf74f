//! `cargo xtask new-service`: creates a service from the template beside this crate's sources.
//!
//! The template is a service called `new-service`. Its files are valid Rust, and creating a service replaces the name
//! in its four spellings. The tables that all services share (outbox and inbox) are taken from the crates that own
//! them.

mod name;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use name::Name;
use stack::process;

/// Lower ports belong to the services of the architecture.
const FIRST_PORT: u16 = 8007;
/// The crates whose tables every service has.
const SHARED: [&str; 5] = ["messaging", "tasks", "alerts", "web", "pg"];

/// The file that names the subscribers.
const TOPOLOGY: &str = "crates/domain/src/topology.rs";

/// A position in a file where a service is registered: the text is inserted before it.
struct Entry {
    file: &'static str,
    before: &'static str,
    text: fn(&Name) -> String,
}

const ENTRIES: [Entry; 4] = [
    Entry {
        file: "crates/stack/src/services.rs",
        before: "\n];",
        text: |name| {
            format!(
                "\n    Service {{\n        name: \"{}\",\n        binary: \"zaplecze-{}\",\n        role: \"{}\",\n        \
                 url_variable: \"{}_URL\",\n        settings: &[],\n    }},",
                name.kebab, name.kebab, name.snake, name.upper
            )
        },
    },
    Entry {
        file: "deploy/postgres/bootstrap.sql",
        before: "] LOOP",
        text: |name| format!(",\n{:35}'{}'", "", name.snake),
    },
    Entry {
        file: TOPOLOGY,
        before: "/// All our services that consume",
        text: |name| {
            format!(
                "/// Consumes events of connected accounts.\npub const {}: Subscriber =\n    Subscriber {{ service: \"{}\", \
                 bindings: &[\"account.connected\"], is_in_order: false }};\n\n",
                name.upper, name.kebab
            )
        },
    },
    Entry {
        file: TOPOLOGY,
        before: "];\n\n/// The role of a queue.",
        text: |name| format!(", {}", name.upper),
    },
];

/// Creates the service `name` in the checkout at `root`, and prints the next steps.
pub(crate) fn run(root: &Path, name: &str, port: Option<u16>) -> Result<ExitCode> {
    let name = Name::parse(name)?;
    let (service, schema) =
        (root.join("services").join(&name.kebab), root.join("migrations").join(&name.snake));
    for taken in [&service, &schema, &root.join("crates").join(&name.kebab)] {
        if taken.exists() {
            bail!("{} exists already", taken.display());
        }
    }
    let port = choose_port(root, port)?;
    // All files are rendered before the first is written: a template that cannot be rendered leaves nothing.
    let mut made = Vec::new();
    let templates = root.join("crates/xtask/templates");
    for (folder, target) in [("service", &service), ("migrations", &schema)] {
        for file in files(&templates.join(folder))? {
            let place = file.strip_prefix(templates.join(folder))?.with_extension("");
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            made.push((target.join(place), name.render(&text, port)));
        }
    }
    let (up, down) = shared_tables(root)?;
    made.push((schema.join("2026-11-21-000001_shared/up.sql"), up));
    made.push((schema.join("2026-11-21-000001_shared/down.sql"), down));
    for entry in &ENTRIES {
        let path = root.join(entry.file);
        // A file may have several entries: each is inserted into the result of the previous one.
        let text = match made.iter().position(|(made, _)| *made == path) {
            Some(at) => made.swap_remove(at).1,
            None => fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        let at = text
            .find(entry.before)
            .with_context(|| format!("no {:?} in {}", entry.before, path.display()))?;
        let (head, tail) = text.split_at(at);
        made.push((path, format!("{head}{}{tail}", (entry.text)(&name))));
    }
    for (path, text) in made {
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.strip_prefix(root).unwrap_or(&path).display());
    }
    // A longer name changes line breaks.
    process::run(Command::new("cargo").args(["fmt", "-p", &name.kebab, "-p", "domain"]).current_dir(root))?;
    crate::docs::run(false)?;
    println!(
        "\n{} listens on port {port}. Write its OpenAPI document, then try it:\n  \
         UPDATE=1 cargo test -p {} --test it the_document\n  cargo xtask test -p {}\nWhat comes next is in docs/guides/add-a-service.md.",
        name.kebab, name.kebab, name.kebab
    );
    Ok(ExitCode::SUCCESS)
}

/// The requested port, or the first free one.
fn choose_port(root: &Path, requested: Option<u16>) -> Result<u16> {
    let mut taken = Vec::new();
    for service in fs::read_dir(root.join("services"))? {
        let Ok(text) = fs::read_to_string(service?.path().join("src/lib.rs")) else { continue };
        let port = text.split_once("DEFAULT_PORT: u16 = ").and_then(|(_, rest)| rest.split_once(';'));
        taken.extend(port.and_then(|(port, _)| port.parse::<u16>().ok()));
    }
    if let Some(port) = requested {
        if taken.contains(&port) {
            bail!("another service has the port {port}");
        }
        return Ok(port);
    }
    (FIRST_PORT..u16::MAX).find(|port| !taken.contains(port)).context("no port is left")
}

/// The crates' tables, unchanged, and the statements that drop them.
fn shared_tables(root: &Path) -> Result<(String, String)> {
    let (mut up, mut tables) = (String::new(), Vec::new());
    for owner in SHARED {
        for file in files(&root.join("crates").join(owner).join("sql"))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let created = text.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split(' ').next());
            tables.extend(created.map(str::to_owned));
            up += &text;
        }
    }
    tables.reverse();
    Ok((up, format!("DROP TABLE {};\n", tables.join(", "))))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
