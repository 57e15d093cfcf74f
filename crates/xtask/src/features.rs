//! Checks that every selection of packages builds the crates of others with the same features, so that none is compiled
//! twice (ADR 0118).

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, bail};
use stack::{SERVICES, process, root};

/// A crate's name and version, and its features.
type Built = BTreeSet<(String, String)>;

/// Fails when demo or a benchmark builds a crate with other features than the tests.
pub(crate) fn check() -> Result<()> {
    let mut services = vec!["-p", "sandbox"];
    services.extend(SERVICES.iter().flat_map(|service| ["-p", service.name]));
    let selections: [(&str, &[&str], &str); 3] = [
        ("demo", &services, "normal,build"),
        ("bench relay", &["-p", "messaging"], "normal,build,dev"),
        ("bench webhooks", &["-p", "e2e"], "normal,build,dev"),
    ];
    let tests = built(&["--workspace"], "normal,build,dev")?;
    let mut wrong = BTreeSet::new();
    for (name, words, edges) in selections {
        for (package, features) in built(words, edges)?.difference(&tests) {
            let tested: Vec<&str> =
                tests.iter().filter(|(other, _)| other == package).map(|(_, features)| &**features).collect();
            wrong.insert(format!(
                "{name} builds {package} with [{features}], the tests with [{}]",
                tested.join("] and [")
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = wrong.into_iter().collect();
    bail!("{}\nadd what is missing to crates/workspace-hack/Cargo.toml", lines.join("\n"))
}

/// The crates of others that a selection builds.
fn built(words: &[&str], edges: &str) -> Result<Built> {
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--prefix", "none", "--format", "{p}\t{f}", "--edges", edges]).args(words);
    let lines = process::run(tree.current_dir(root()))?;
    let pairs = lines.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'));
    // Our own crates have a path after their version.
    let of_others = pairs.filter(|(package, _)| !package.contains('/'));
    Ok(of_others.map(|(package, features)| (package.to_owned(), features.to_owned())).collect())
}
