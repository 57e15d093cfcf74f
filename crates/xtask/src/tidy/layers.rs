//! The dependency rules inside a service: `api, consumers, tasks → app → domain, store, clients`.

use std::path::Path;

/// The modules that each part must not name. A part with another name (a service's own engine) has the rules of `app`.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("api", &["consumers", "tasks", "store"]),
    ("consumers", &["api", "tasks"]),
    ("tasks", &["api", "consumers"]),
    ("app", &["api", "consumers", "tasks"]),
    ("domain", &["api", "consumers", "tasks", "app", "store", "clients", "state", "config"]),
    ("store", &["api", "consumers", "tasks", "app", "clients", "state", "config"]),
    ("clients", &["api", "consumers", "tasks", "app", "store", "state"]),
];

/// The modules that assemble the parts, or hold the state.
const EVERYWHERE: [&str; 4] = ["lib", "main", "config", "state"];

/// The violations in a file of a service (`services/<name>/src/…`).
pub(super) fn check(file: &Path, source: &str, broken: &mut Vec<String>) {
    let mut parts = file.iter().map(|part| part.to_string_lossy());
    if parts.next().as_deref() != Some("services") || parts.nth(1).as_deref() != Some("src") {
        return;
    }
    let Some(part) = parts.next() else { return };
    let part = part.trim_end_matches(".rs");
    if EVERYWHERE.contains(&part) {
        return;
    }
    let rules = FORBIDDEN.iter().find(|(name, _)| *name == part || *name == "app" && !is_known(part));
    let forbidden = rules.map_or(&[][..], |(_, forbidden)| *forbidden);
    for named in named(source).into_iter().filter(|named| forbidden.contains(named)) {
        broken.push(format!("{}: {part} must not name {named}", file.display()));
    }
}

fn is_known(part: &str) -> bool {
    FORBIDDEN.iter().any(|(name, _)| *name == part)
}

/// The parts of its own crate that a source names: after `crate::`, or in the braces after it.
fn named(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in source.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        // The names directly in the braces, not those in nested braces.
        let mut depth = 1;
        let mut starts = true;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => starts = true,
                _ if starts && depth == 1 && !letter.is_whitespace() => {
                    found.push(word(list.get(at..).unwrap_or_default()));
                    starts = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;

    fn broken(path: &str, source: &str) -> usize {
        let mut broken = Vec::new();
        check(Path::new(path), source, &mut broken);
        broken.len()
    }

    #[test]
    fn dependencies_inside_a_service_have_one_direction() {
        for (path, source, expected) in [
            ("services/x/src/api/a.rs", "use crate::app::a;", 0),
            ("services/x/src/api/a.rs", "use crate::store::a;", 1),
            ("services/x/src/api.rs", "use crate::{app::{store, a}, domain};", 0),
            ("services/x/src/api.rs", "use crate::{\n    app::{a, b},\n    store::c,\n    tasks,\n};", 2),
            ("services/x/src/app/a.rs", "use crate::store::a;\nuse crate::clients::b;", 0),
            ("services/x/src/app/a.rs", "fn f() { crate::tasks::g() }", 1),
            ("services/x/src/engine/a.rs", "use crate::store::a;\nuse crate::api::b;", 1),
            ("services/x/src/domain/a.rs", "use crate::domain::b;\nuse crate::state::State;", 1),
            ("services/x/src/store/a.rs", "use crate::clients::b;", 1),
            ("services/x/src/lib.rs", "use crate::api;\nuse crate::store;", 0),
            ("services/x/tests/it/a.rs", "use crate::store::a;", 0),
            ("crates/x/src/app/a.rs", "use crate::tasks::a;", 0),
        ] {
            assert_eq!(broken(path, source), expected, "{path}: {source}");
        }
    }
}
