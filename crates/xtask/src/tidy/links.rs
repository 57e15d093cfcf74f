//! Relative links in Markdown files: the target and its heading must exist.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::files;
use crate::root;

/// Folders with our Markdown files, in addition to the root.
const FOLDERS: [&str; 4] = ["crates", "docs", "services", "tests"];

/// Checks every relative link of every Markdown file.
pub(super) fn check(broken: &mut Vec<String>) -> Result<()> {
    let mut pages = Vec::new();
    for folder in FOLDERS {
        pages.extend(files(&root().join(folder), "md")?);
    }
    for entry in fs::read_dir(root())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    for page in pages {
        let shown = page.strip_prefix(root()).unwrap_or(&page).display();
        for link in links(&fs::read_to_string(&page)?) {
            if let Err(reason) = resolve(&page, &link) {
                broken.push(format!("{shown}: link {link}: {reason}"));
            }
        }
    }
    Ok(())
}

/// The targets of all inline links outside code blocks that are not URLs.
fn links(page: &str) -> Vec<String> {
    let text = prose(page).collect::<Vec<_>>().join("\n");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The lines outside code blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn resolve(page: &Path, link: &str) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.to_owned(),
        path => page.parent().unwrap_or(page).join(path),
    };
    if !target.exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(&target).map_err(|error| error.to_string())?;
    let mut headings = prose(&text).filter(|line| line.starts_with('#'));
    if headings.any(|line| slug(line) == anchor) { Ok(()) } else { Err("no such heading".to_owned()) }
}

/// The anchor that GitHub gives to a heading: lower case, without punctuation, spaces as hyphens.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let letters = text.chars().filter(|&letter| letter.is_alphanumeric() || " -_".contains(letter));
    letters.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::{links, slug};

    #[test]
    fn links_in_code_blocks_and_urls_are_ignored() {
        let page = "[a](b.md#c)\n```\n[d](e.md)\n```\n[f](https://g.example) [h](i.md)";
        assert_eq!(links(page), ["b.md#c", "i.md"]);
    }

    #[test]
    fn a_slug_is_lower_case_without_punctuation() {
        assert_eq!(slug("### `sync`: read, compare"), "sync-read-compare");
    }
}
