//! The rules of the architecture that the compiler does not check.

mod layers;
mod links;
mod reached;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use stack::root;

/// The crates of ours that each crate may use. A service may use all of them.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("alerts", &["domain", "egress", "pg"]),
    ("allegro", &["domain"]),
    ("failpoint", &[]),
    ("workspace-hack", &[]),
    ("telemetry", &["workspace-hack"]),
    ("chassis", &["domain", "telemetry"]),
    ("clients", &["domain", "egress"]),
    ("egress", &["domain", "telemetry"]),
    ("pg", &["domain", "failpoint", "workspace-hack"]),
    ("quota", &["domain"]),
    ("web", &["chassis", "domain", "egress", "pg", "quota", "telemetry"]),
    ("messaging", &["domain", "failpoint", "pg", "telemetry"]),
    ("tasks", &["alerts", "domain", "failpoint", "pg", "web"]),
    ("runtime", &["alerts", "chassis", "domain", "messaging", "pg", "tasks", "web"]),
    ("sandbox", &["domain"]),
    ("stack", &[]),
    ("xtask", &["stack"]),
    ("lab", &["stack"]),
    ("testkit", &["domain", "messaging", "pg", "tasks"]),
    // Services are programs of the tests that run them together.
    ("e2e", &["allegro-backup", "runtime", "stock-sync"]),
];

/// The crate that only enables features of others' crates (ADR 0118).
const HACK: &str = "workspace-hack";

/// Checks all rules and reports all violations.
pub(crate) fn run() -> Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut broken = Vec::new();
    let ours: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for package in &metadata.packages {
        arrows(package, &ours, &mut broken);
        manifest(package, &mut broken)?;
        let folder =
            package.manifest_path.parent().map(|path| path.as_std_path().to_owned()).unwrap_or_default();
        let mut text = String::new();
        let files = files(&folder, "rs")?;
        let roots: Vec<PathBuf> =
            package.targets.iter().map(|target| target.src_path.as_std_path().to_owned()).collect();
        for file in reached::unreached(&roots, &files)? {
            let shown = file.strip_prefix(root()).unwrap_or(&file).display();
            broken.push(format!("{shown}: no module names it, so it is not compiled"));
        }
        for file in files {
            let source = fs::read_to_string(&file)?;
            source::check(
                package.name.as_str(),
                file.strip_prefix(root()).unwrap_or(&file),
                &source,
                &mut broken,
            );
            text.push_str(&source);
        }
        unused(package, &text, &mut broken);
    }
    shared_tables(&mut broken)?;
    documented_routes(&mut broken)?;
    links::check(&mut broken)?;
    if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("\n")) }
}

/// The first migration of every schema contains the crates' own texts, unchanged.
fn shared_tables(broken: &mut Vec<String>) -> Result<()> {
    let mut texts = Vec::new();
    for owner in ["alerts", "messaging", "pg", "tasks", "web"] {
        for file in files(&root().join("crates").join(owner).join("sql"), "sql")? {
            texts.push(fs::read_to_string(file)?);
        }
    }
    for file in files(&root().join("migrations"), "sql")? {
        if !file.ends_with("2026-11-21-000001_shared/up.sql") {
            continue;
        }
        let mut rest = fs::read_to_string(&file)?;
        for text in &texts {
            rest = rest.replacen(text, "", 1);
        }
        if !rest.trim().is_empty() {
            let shown = file.strip_prefix(root()).unwrap_or(&file).display();
            broken.push(format!("{shown}: differs from crates/*/sql:\n{}", rest.trim()));
        }
    }
    Ok(())
}

/// All routes of a service are in its document, so that checks based on the document miss no route.
fn documented_routes(broken: &mut Vec<String>) -> Result<()> {
    for service in fs::read_dir(root().join("services"))? {
        let service = service?;
        let (name, routes) = (service.file_name(), service.path().join("src/api/mod.rs"));
        let name = name.to_string_lossy();
        if routes.exists() {
            let document = root().join(format!("docs/reference/openapi/{name}.json"));
            let document = fs::read_to_string(document).unwrap_or_default();
            broken.extend(undocumented(&name, &fs::read_to_string(routes)?, &document));
        }
    }
    Ok(())
}

fn undocumented(service: &str, routes: &str, document: &str) -> Vec<String> {
    let entries = routes.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => {"));
    let paths = entries.map(|(path, _)| path);
    paths
        .filter(|path| !document.contains(&format!("\"/api/v1{path}\":")))
        .map(|path| format!("{service}: the route {path} is not in docs/reference/openapi/{service}.json"))
        .collect()
}

fn arrows(package: &Package, ours: &[&str], broken: &mut Vec<String>) {
    let name = package.name.as_str();
    let allowed = ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    let is_service = package.manifest_path.as_str().contains("/services/");
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        if dependency.kind != DependencyKind::Normal || !ours.contains(&to) {
            continue;
        }
        let fine = match allowed {
            Some(list) => list.contains(&to),
            None if is_service => {
                ARROWS.iter().any(|(from, _)| *from == to)
                    && !["e2e", "lab", "sandbox", "stack", "testkit", "workspace-hack", "xtask"].contains(&to)
            }
            None => false,
        };
        if !fine {
            broken.push(format!("{name} must not depend on {to}"));
        }
    }
}

fn manifest(package: &Package, broken: &mut Vec<String>) -> Result<()> {
    let name = package.name.as_str();
    let text = fs::read_to_string(&package.manifest_path)?;
    if !text.contains("[lints]\nworkspace = true") {
        broken.push(format!("{name}: Cargo.toml does not inherit the workspace's lints"));
    }
    // Its dependencies are those of other crates, which the workspace's table does not list.
    let is_hack = name == HACK;
    let mut in_dependencies = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && !is_hack && !line.trim().is_empty() && !line.contains("workspace = true")
        {
            broken.push(format!("{name}: declare the version in the workspace: {line}"));
        }
    }
    Ok(())
}

/// A dependency that no source names is unused.
fn unused(package: &Package, text: &str, broken: &mut Vec<String>) {
    let is_named_only = |name: &str| name == HACK || package.name.as_str() == HACK;
    for dependency in package.dependencies.iter().filter(|it| !is_named_only(&it.name)) {
        let ident = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
        if !text.contains(&ident) {
            broken.push(format!("{}: the dependency {} is not used", package.name, dependency.name));
        }
    }
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
