//! Environment variables that no setting has read: unknown names with the service's prefix, and near misses.

use std::fmt::{self, Display};

use super::{Mistake, Reader};

/// An environment variable that is not a setting, whose name is similar to that of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NearMiss {
    pub(crate) name: String,
    /// The setting with the similar name.
    pub(crate) setting: &'static str,
}

impl Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a setting; did you mean {}?", self.name, self.setting)
    }
}

impl Reader {
    /// Variables without the service's prefix that are probably misspelt settings. The environment holds many variables
    /// of other programs, so a name must be very similar: equal except for case, one edit from eight characters on, two
    /// from sixteen.
    pub(crate) fn near_misses(&self) -> Vec<NearMiss> {
        self.source.names().filter_map(|name| self.near_miss(name)).collect()
    }

    fn near_miss(&self, name: &str) -> Option<NearMiss> {
        if name.starts_with(&self.prefix) || self.is_declared(name) {
            return None;
        }
        let upper = base(name).to_ascii_uppercase();
        let length = upper.chars().count();
        let (distance, setting) = self
            .declared
            .iter()
            // The difference in length is the least number of edits. It costs far less to compute.
            .filter(|one| one.name.len().abs_diff(length) <= 2)
            .map(|one| (strsim::damerau_levenshtein(one.name, &upper), one.name))
            .min()?;
        let is_near = distance <= (setting.len() / 8).min(2);
        is_near.then(|| NearMiss { name: name.to_owned(), setting })
    }

    fn is_declared(&self, name: &str) -> bool {
        self.declared.iter().any(|one| one.name == base(name) || one.name == name)
    }

    pub(super) fn unknown(&self, name: &str) -> Option<Mistake> {
        let rest = name.strip_prefix(&self.prefix)?;
        let base = base(name);
        if is_address_of_service(rest) || self.is_declared(name) {
            return None;
        }
        let nearest = self
            .declared
            .iter()
            .map(|one| (strsim::damerau_levenshtein(one.name, base), one.name))
            .min()
            .filter(|(distance, _)| *distance <= rest.len() / 2);
        let hint = nearest.map_or(String::new(), |(_, near)| format!("; did you mean {near}?"));
        Some(Mistake { name: name.to_owned(), text: format!("is not a setting of this service{hint}") })
    }
}

/// Name of the setting whose value the variable's file contains.
fn base(name: &str) -> &str {
    name.strip_suffix("_FILE").unwrap_or(name)
}

/// Variables by which orchestrators tell other processes where this service is: service links of Kubernetes
/// (`X_SERVICE_HOST`, `X_PORT_8001_TCP_ADDR`, …) and our own `X_URL`. The service's own process receives them too.
fn is_address_of_service(rest: &str) -> bool {
    let numbered =
        rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    matches!(rest, "URL" | "PORT" | "SERVICE_HOST") || rest.starts_with("SERVICE_PORT") || numbered
}
