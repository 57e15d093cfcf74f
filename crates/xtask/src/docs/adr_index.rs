//! `docs/adr/README.md`: the index of all decisions, generated from their titles and statuses.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::root;

const FOLDER: &str = "docs/adr";
const FILE: &str = "docs/adr/README.md";
const HEAD: &str = "\
# Architecture decision records

`cargo xtask docs` generates this index from the titles and statuses of the records. [0000-template.md](0000-template.md) is the
template of a new record. A record that is no longer true is marked `superseded by NNNN` and is not deleted.

| number | decision | status |
|---|---|---|
";

/// Writes the index, or with `check` fails when it differs from the records.
pub(super) fn document(check: bool) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER))? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_page && name != "README.md" && !name.starts_with("0000-") {
            names.push(name);
        }
    }
    names.sort();
    let mut text = HEAD.to_owned();
    for name in &names {
        let record = fs::read_to_string(root().join(FOLDER).join(name))?;
        text.push_str(&row(name, &record).with_context(|| format!("{FOLDER}/{name}"))?);
    }
    let file = root().join(FILE);
    if !check {
        return fs::write(&file, text).with_context(|| format!("cannot write {FILE}"));
    }
    let before = fs::read_to_string(&file).unwrap_or_default();
    if before == text { Ok(()) } else { bail!("{FILE} is out of date: run `cargo xtask docs`") }
}

/// The row of one record, whose first line is `# NNNN: Title` and whose status line begins with `- Status:`.
fn row(name: &str, record: &str) -> Result<String> {
    let number = name.split('-').next().unwrap_or_default();
    let heading = record.lines().next().and_then(|line| line.strip_prefix("# "));
    let title = heading
        .and_then(|heading| heading.strip_prefix(&format!("{number}: ")))
        .with_context(|| format!("the first line is not `# {number}: Title`"))?;
    let status = record.lines().find_map(|line| line.strip_prefix("- Status: "));
    let status = status.context("there is no line `- Status: …`")?;
    let mut row = String::new();
    writeln!(row, "| [{number}]({name}) | {title} | {status} |")?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn a_row_names_number_title_and_status() {
        let record = "# 0007: Count requests\n\n- Status: accepted\n- Date: 2026-11-21\n";
        let expected = "| [0007](0007-count.md) | Count requests | accepted |\n";
        assert_eq!(row("0007-count.md", record).ok().as_deref(), Some(expected));
    }

    #[test]
    fn a_record_without_title_or_status_is_an_error() {
        assert!(row("0007-count.md", "# 0008: Count requests\n\n- Status: accepted\n").is_err());
        assert!(row("0007-count.md", "# 0007: Count requests\n").is_err());
    }
}
