//! Rules of one source file.

use std::path::Path;

use super::layers;

/// Maximum number of lines of a source file. A longer one contains more than one idea.
const MAX_LINES: usize = 500;

/// Crates that may use diesel outside a `store` folder.
const DIESEL: &[&str] = &["pg", "messaging", "tasks", "testkit"];

/// The only file that parses instants from outside.
const INSTANT: &str = "crates/domain/src/instant.rs";

/// The rules that a file violates. Its path is relative to the root of the checkout.
pub(super) fn check(package: &str, file: &Path, source: &str, broken: &mut Vec<String>) {
    let shown = file.display();
    let path = format!("/{shown}");
    let lines = source.lines().count();
    if lines > MAX_LINES {
        broken.push(format!("{shown}: {lines} lines; look for the seam (at most {MAX_LINES})"));
    }
    let is_test = path.contains("/tests/");
    let may_speak_diesel = is_test
        || path.contains("/src/store/")
        || path.ends_with("/src/store.rs")
        || path.ends_with("/src/lib.rs")
        || DIESEL.contains(&package);
    if source.contains(concat!("diesel", "::")) && !may_speak_diesel {
        broken.push(format!("{shown}: diesel belongs under store"));
    }
    if source.contains(concat!("#[", "ignore")) {
        broken.push(format!("{shown}: a test that does not run is none"));
    }
    let inner = source.split_once(concat!("#[cfg(", "test)]")).map_or("", |(_, tests)| tests);
    let tests = if is_test { source } else { inner };
    if ["thread::sleep(", "time::sleep(", " sleep("].iter().any(|sleep| tests.contains(sleep)) {
        broken.push(format!("{shown}: a test waits for a condition (testkit's `eventually`), not for time"));
    }
    if !is_test && file != Path::new(INSTANT) && reads_instants(source) {
        broken.push(format!("{shown}: instants from outside are read by domain::instant (ADR 0100)"));
    }
    layers::check(file, source, broken);
}

/// Whether a file deserializes or parses RFC 3339 itself, outside its unit tests.
fn reads_instants(source: &str) -> bool {
    let code = source.split_once(concat!("#[cfg(", "test)]")).map_or(source, |(code, _)| code);
    let is_deserialized = |at: usize| {
        let before = code.get(..at).unwrap_or_default();
        before.rsplit_once("#[derive(").is_some_and(|(_, derived)| {
            derived.split_once(')').is_some_and(|(traits, _)| traits.contains("Deserialize"))
        })
    };
    let mut fields = code.match_indices(concat!("time::serde", "::rfc3339"));
    let parse = concat!("OffsetDateTime::", "parse(");
    fields.any(|(at, _)| is_deserialized(at))
        || code.lines().any(|line| line.contains(parse) && line.contains("Rfc3339"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;

    fn broken(package: &str, path: &str, source: &str) -> usize {
        let mut broken = Vec::new();
        check(package, Path::new(path), source, &mut broken);
        broken.len()
    }

    #[test]
    fn diesel_is_used_under_store_only() {
        let source = concat!("use diesel", "::prelude::*;");
        assert_eq!(broken("stock-sync", "services/stock-sync/src/store/level.rs", source), 0);
        assert_eq!(broken("pg", "crates/pg/src/pool.rs", source), 0);
        assert_eq!(broken("stock-sync", "services/stock-sync/src/app/sell.rs", source), 1);
    }

    #[test]
    fn instants_from_outside_are_read_in_one_file() {
        let field =
            concat!("    #[serde(with = \"time::serde", "::rfc3339\")]\n    at: OffsetDateTime,\n}\n");
        let request = format!("#[derive(Debug, Deserialize)]\nstruct Request {{\n{field}");
        let answer = format!("#[derive(Serialize, ToSchema)]\nstruct Answer {{\n{field}");
        let parse = concat!("let at = OffsetDateTime::", "parse(text, &Rfc3339);");
        for (path, source, expected) in [
            ("crates/web/src/x.rs", request.as_str(), 1),
            ("crates/web/src/x.rs", &answer, 0),
            ("crates/web/src/x.rs", parse, 1),
            ("crates/web/tests/it/x.rs", parse, 0),
            ("crates/domain/src/instant.rs", parse, 0),
        ] {
            assert_eq!(broken("web", path, source), expected, "{path}: {source}");
        }
    }

    #[test]
    fn files_stay_short() {
        assert_eq!(broken("web", "crates/web/src/x.rs", &"//\n".repeat(501)), 1);
        assert_eq!(broken("web", "crates/web/src/x.rs", &"//\n".repeat(500)), 0);
    }

    #[test]
    fn tests_are_neither_ignored_nor_sleep() {
        let sleep = concat!("std::thread::", "sleep(pause);");
        assert_eq!(broken("web", "crates/web/tests/it/x.rs", sleep), 1);
        assert_eq!(broken("web", "crates/web/src/x.rs", sleep), 0, "a service may pause");
        assert_eq!(broken("web", "crates/web/src/x.rs", &format!("#[cfg(test)]\n{sleep}")), 1);
        assert_eq!(broken("web", "crates/web/tests/it/x.rs", concat!("#[", "ignore = \"later\"]")), 1);
    }
}
