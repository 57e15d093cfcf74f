//! Prints settings and mistakes for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use super::reader::{Absent, Declared, Mistake, NearMiss, Reader};

const MASK: &str = "••••";

/// The settings of a service: name, type, default, meaning.
pub(crate) fn list(reader: &Reader) -> String {
    let mut text = String::from("Settings (each may come from a file instead: NAME_FILE=/path):\n");
    for Declared { name, kind, absent, meaning, .. } in reader.declared() {
        let absent = match absent {
            Absent::Required => "required".to_owned(),
            Absent::Optional => "optional".to_owned(),
            Absent::Default(value) => format!("default {value}"),
        };
        let _ = write!(text, "\n  {name}  ({kind}; {absent})\n      {meaning}\n");
    }
    text
}

/// A setting in the JSON list.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    kind: &'a str,
    is_required: bool,
    default: Option<&'a str>,
    is_secret: bool,
    meaning: &'a str,
}

/// As [`list`], as JSON: one object per setting.
///
/// # Errors
/// Never: strings and booleans can be serialized.
pub(crate) fn list_json(reader: &Reader) -> serde_json::Result<String> {
    let listed: Vec<Listed<'_>> = reader
        .declared()
        .iter()
        .map(|Declared { name, kind, absent, meaning, is_secret, .. }| Listed {
            name,
            kind,
            is_required: *absent == Absent::Required,
            default: if let Absent::Default(value) = absent { Some(value) } else { None },
            is_secret: *is_secret,
            meaning,
        })
        .collect();
    serde_json::to_string(&listed)
}

/// `NAME=value` for every setting, with secrets masked.
pub(crate) fn print_effective(reader: &Reader) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for one in reader.declared() {
        let (value, origin) = match (&one.given, &one.absent) {
            (Some(_), _) if one.is_secret => (MASK, ""),
            (Some(text), _) => (text.as_str(), ""),
            (None, Absent::Default(value)) => (value.as_str(), "  # default"),
            (None, _) => ("", "  # not set"),
        };
        writeln!(out, "{}={value}{origin}", one.name)?;
    }
    Ok(())
}

/// Prints all mistakes on stderr.
pub(crate) fn print_mistakes(program: &str, mistakes: &[Mistake]) {
    let mut out = io::stderr().lock();
    let count = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        many => format!("{many} mistakes"),
    };
    // A closed stderr is ignored. The exit code reports the failure.
    let _ = writeln!(out, "{program}: {count} in the configuration");
    for mistake in mistakes {
        let _ = writeln!(out, "  {mistake}");
    }
}

/// Prints variables that are probably misspelt settings on stderr.
pub(crate) fn print_near_misses(program: &str, near_misses: &[NearMiss]) {
    let mut out = io::stderr().lock();
    for near_miss in near_misses {
        // A closed stderr is ignored.
        let _ = writeln!(out, "{program}: warning: {near_miss}");
    }
}
