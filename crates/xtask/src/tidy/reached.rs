//! Finds source files that no module names and that are therefore not compiled.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Those of `files` that cannot be reached from the roots of a crate's targets.
pub(super) fn unreached(roots: &[PathBuf], files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut reached: Vec<PathBuf> = roots.to_vec();
    let mut next = 0;
    while let Some(file) = reached.get(next).cloned() {
        next += 1;
        let folder = folder_of_modules(&file, roots.contains(&file));
        let source = fs::read_to_string(&file)?;
        reached.extend(elsewhere(&source).map(|name| file.with_file_name(name)));
        for name in modules(&source) {
            let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
            reached.extend(candidates.into_iter().filter(|it| it.exists()));
        }
    }
    Ok(files.iter().filter(|file| !reached.contains(file)).cloned().collect())
}

/// The folder of a file's modules.
fn folder_of_modules(file: &Path, is_root: bool) -> PathBuf {
    if is_root || file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") }
}

/// The names of the modules in separate files.
fn modules(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (_, rest) = line
            .trim_start()
            .split_once("mod ")
            .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?;
        rest.strip_suffix(';')
    })
}

/// Files beside a file that are modules of it by another name.
fn elsewhere(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))
}

#[cfg(test)]
mod tests {
    use super::{elsewhere, modules};

    #[test]
    fn modules_in_separate_files_are_found() {
        let source =
            "mod a;\npub(crate) mod b;\n#[cfg(test)]\nmod inner {\n    mod c;\n}\n// mod d;\nlet mod_e = 1;";
        assert_eq!(modules(source).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(elsewhere("#[path = \"a_tests.rs\"]\nmod tests;").collect::<Vec<_>>(), ["a_tests.rs"]);
    }
}
