//! Sources of values: the environment, a `.env` file, and the files that `NAME_FILE` names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Result of looking up a variable.
pub(super) enum Lookup {
    /// Not set, or an empty text, which compose files write for "not set".
    Absent,
    /// A value.
    Present(String),
    /// Not usable. Contains the rule that is broken, never the value.
    Unusable(String),
}

/// The variables at the start of the process.
#[derive(Debug, Default)]
pub(super) struct Source(BTreeMap<String, OsString>);

impl Source {
    /// The process's environment, and for variables that it lacks the `.env` file of the working directory. The error
    /// states what is wrong with that file, never its contents.
    pub(super) fn process() -> (Self, Option<String>) {
        let (mut variables, mistake) = dotenv(Path::new(".env"));
        variables
            .extend(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))));
        (Self(variables), mistake)
    }

    pub(super) fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn lookup(&self, name: &str) -> Lookup {
        let value = |name: &str| self.0.get(name).filter(|value| !value.is_empty());
        match (value(name), value(&format!("{name}_FILE"))) {
            (None, None) => Lookup::Absent,
            (Some(_), Some(_)) => Lookup::Unusable(format!("set either {name} or {name}_FILE, not both")),
            (Some(value), None) => match value.to_str() {
                Some(text) => Lookup::Present(text.to_owned()),
                None => Lookup::Unusable("must be UTF-8".to_owned()),
            },
            (None, Some(path)) => match std::fs::read_to_string(path) {
                // Editors and `echo` end a file with a line break that is not part of the secret.
                Ok(text) => Lookup::Present(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Lookup::Unusable(format!("{name}_FILE={}: {error}", Path::new(path).display())),
            },
        }
    }
}

fn dotenv(path: &Path) -> (BTreeMap<String, OsString>, Option<String>) {
    let mut variables = BTreeMap::new();
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return (variables, None);
        }
        Err(_) => return (variables, Some("cannot be read".to_owned())),
    };
    for line in lines {
        // The error's own message would contain the line, which may hold a secret.
        let Ok((name, value)) = line else {
            let last = variables.len();
            return (variables, Some(format!("the line after setting number {last} is not NAME=value")));
        };
        variables.insert(name, value.into());
    }
    (variables, None)
}
