//! `docs/reference/CONFIG.md`: every setting of every service, in the services' own words.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use serde_json::Value;
use stack::{process, root};

const FILE: &str = "docs/reference/CONFIG.md";
const HEAD: &str = "\
# Settings

`cargo xtask docs` generates this page. `zaplecze-<service> config check --list` prints the settings of one service, and
`config check` prints the values in effect.

A setting is an environment variable, or a line of a file `.env` in the working directory. Its value may also come from a file:
`NAME_FILE=/run/secrets/name`. An empty value counts as absent. A program reports all invalid settings at once, by name, and exits
with code 2. An unknown variable that begins with the service's prefix is invalid. A variable without that prefix whose name
resembles that of a setting causes a warning, in the log and in `config check`.
";
const TABLE: &str = "\n| setting | type | default | meaning |\n|---|---|---|---|\n";

/// Builds the services as the tests do, and runs them: after a run of the tests nothing needs to be built.
pub(super) fn document(check: bool) -> Result<()> {
    let build = ["test", "--workspace", "--no-run", "--quiet"];
    process::run(Command::new("cargo").args(build).current_dir(root()))?;
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let programs = metadata.target_directory.join("debug");
    let mut lists = Vec::new();
    for name in &services()? {
        let mut list = Command::new(programs.join(format!("zaplecze-{name}")));
        let listed = process::run(list.args(["config", "check", "--list", "--json"]))?;
        lists.push((name.clone(), serde_json::from_str(&listed)?));
    }
    let text = render(&lists)?;
    let path = root().join(FILE);
    if !check {
        return fs::write(&path, text).with_context(|| format!("cannot write {FILE}"));
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    if before == text { Ok(()) } else { bail!("{FILE} is out of date: cargo xtask docs") }
}

/// The folders of the services, in alphabetical order.
fn services() -> Result<Vec<String>> {
    let folders = fs::read_dir(root().join("services"))?;
    let names = folders.map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Settings that all services have in common are listed once.
fn render(lists: &[(String, Vec<Value>)]) -> Result<String> {
    let (_, first) = lists.first().context("there are services")?;
    let is_shared = |setting: &Value| lists.iter().all(|(_, list)| list.contains(setting));
    let mut text = HEAD.to_owned();
    text.push_str("\n## All services\n");
    text.push_str(TABLE);
    for setting in first.iter().filter(|setting| is_shared(setting)) {
        text.push_str(&row(setting)?);
    }
    for (name, list) in lists {
        write!(text, "\n## {name}\n{TABLE}")?;
        for setting in list.iter().filter(|setting| !is_shared(setting)) {
            text.push_str(&row(setting)?);
        }
    }
    Ok(text)
}

fn row(setting: &Value) -> Result<String> {
    let said = |field: &str| {
        let value = setting.get(field).and_then(Value::as_str);
        value.map(|text| text.replace('|', "\\|")).with_context(|| format!("no {field} in {setting}"))
    };
    let is = |field: &str| setting.get(field).and_then(Value::as_bool).unwrap_or_default();
    let default = match said("default") {
        Ok(default) if default.is_empty() => "empty".to_owned(),
        Ok(default) => format!("`{default}`"),
        Err(_) if is("is_required") => "**required**".to_owned(),
        Err(_) => "none".to_owned(),
    };
    let kind = said("kind")?;
    let secret = if is("is_secret") && !kind.contains("secret") { "; secret" } else { "" };
    Ok(format!("| `{}` | {kind}{secret} | {default} | {} |\n", said("name")?, said("meaning")?))
}
