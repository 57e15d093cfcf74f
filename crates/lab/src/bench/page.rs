//! docs/BENCHMARKS.md: the last full run of each bench.

use std::process::Command;

use anyhow::{Context, Result};
use stack::{process, root};

/// Replaces the table of this benchmark's section, or appends a section. The text below the table remains.
pub(super) fn write(name: &str, table: &str) -> Result<()> {
    let file = root().join("docs/BENCHMARKS.md");
    let text = std::fs::read_to_string(&file).context("cannot read docs/BENCHMARKS.md")?;
    let date = process::run(Command::new("date").arg("--iso-8601"))?;
    std::fs::write(&file, replaced(&text, name, date.trim(), table))?;
    println!("written to docs/BENCHMARKS.md");
    Ok(())
}

fn replaced(page: &str, name: &str, date: &str, table: &str) -> String {
    let head = format!("## {name}, ");
    let section = format!("{head}{date}\n\n{}\n", table.trim_end());
    let Some((before, rest)) = page.split_once(&head) else {
        return format!("{}\n\n{section}", page.trim_end());
    };
    // The rest of the old heading, then the old table.
    let is_old = |line: &&str| line.is_empty() || line.starts_with('|');
    let words: Vec<&str> = rest.lines().skip(1).skip_while(is_old).collect();
    if words.is_empty() {
        return format!("{before}{section}");
    }
    format!("{before}{section}\n{}\n", words.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn a_section_is_replaced_and_other_text_remains() {
        let page = "# Figures\n\n## relay, 2026-01-01\n\n| a |\n| 1 |\n\nWhy.\n\n## other, x\n\n| b |\n";
        let new = replaced(page, "relay", "2026-02-02", "| a |\n| 2 |\n");
        assert_eq!(new, page.replace("2026-01-01", "2026-02-02").replace("| 1 |", "| 2 |"));
        let added = replaced(page, "backup", "2026-02-02", "| c |\n");
        assert_eq!(added, format!("{page}\n## backup, 2026-02-02\n\n| c |\n"));
        let last = replaced(page, "other", "y", "| d |");
        assert_eq!(last, page.replace("other, x", "other, y").replace("| b |", "| d |"));
    }
}
