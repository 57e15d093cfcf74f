//! Reads settings and records which settings were read.

mod unknown;

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub(crate) use self::unknown::NearMiss;
use super::source::{Lookup, Source};

/// An invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The variable, or the file `.env`.
    pub name: String,
    /// The rule that it breaks and, unless it is secret, its value.
    pub text: String,
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// A setting that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) kind: String,
    pub(crate) absent: Absent,
    pub(crate) meaning: &'static str,
    pub(crate) is_secret: bool,
    /// The text of the variable, if it is set.
    pub(crate) given: Option<String>,
}

/// The value of an absent setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absent {
    /// None: the service cannot start without it.
    Required,
    /// None: the setting is optional.
    Optional,
    /// The default.
    Default(String),
}

/// Declaration of a setting.
pub(super) struct Declaration {
    pub(super) name: &'static str,
    pub(super) kind: String,
    pub(super) absent: Absent,
    pub(super) meaning: &'static str,
    pub(super) is_secret: bool,
}

impl Declaration {
    fn text(name: &'static str, absent: Absent, meaning: &'static str) -> Self {
        Self { name, kind: "text".to_owned(), absent, meaning, is_secret: false }
    }

    fn secret(name: &'static str, absent: Absent, meaning: &'static str) -> Self {
        Self { name, kind: "secret".to_owned(), absent, meaning, is_secret: true }
    }
}

/// Reads settings one by one. See the module for its invariant.
#[derive(Debug)]
pub struct Reader {
    prefix: String,
    source: Source,
    declared: Vec<Declared>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// Reads the process's environment and `.env` for the service of this name ("allegro-backup").
    pub(crate) fn of_process(service: &str) -> Self {
        let (source, mistake) = Source::process();
        let mut reader = Self::over(service, source);
        if let Some(text) = mistake {
            reader.mistakes.push(Mistake { name: ".env".to_owned(), text });
        }
        reader
    }

    /// Reads the given variables only, for tests and for lists of settings.
    pub fn of_variables<'a>(service: &str, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::over(service, Source::of(variables))
    }

    fn over(service: &str, source: Source) -> Self {
        let prefix = service.to_ascii_uppercase().replace('-', "_") + "_";
        Self { prefix, source, declared: Vec::new(), mistakes: Vec::new() }
    }

    /// Any text.
    pub fn text(&mut self, name: &'static str, default: &'static str, meaning: &'static str) -> String {
        self.parsed(name, "text", default.to_owned(), meaning, |text| Ok(text.to_owned()))
    }

    /// Any text. It is required.
    pub fn required_text(&mut self, name: &'static str, meaning: &'static str) -> String {
        let declaration = Declaration::text(name, Absent::Required, meaning);
        self.declare(declaration, |text| Ok(text.to_owned())).unwrap_or_default()
    }

    /// Any text. It is optional.
    pub fn optional_text(&mut self, name: &'static str, meaning: &'static str) -> Option<String> {
        let declaration = Declaration::text(name, Absent::Optional, meaning);
        self.declare(declaration, |text| Ok(text.to_owned()))
    }

    /// A secret. It is required.
    pub fn required_secret(&mut self, name: &'static str, meaning: &'static str) -> SecretString {
        let declaration = Declaration::secret(name, Absent::Required, meaning);
        self.declare(declaration, |text| Ok(text.into())).unwrap_or_default()
    }

    /// A secret. It is optional.
    pub fn optional_secret(&mut self, name: &'static str, meaning: &'static str) -> Option<SecretString> {
        let declaration = Declaration::secret(name, Absent::Optional, meaning);
        self.declare(declaration, |text| Ok(text.into()))
    }

    /// A whole number within `range`.
    pub fn number<N>(
        &mut self,
        name: &'static str,
        default: N,
        range: RangeInclusive<N>,
        meaning: &'static str,
    ) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let kind = format!("whole number, {} to {}", range.start(), range.end());
        self.parsed(name, kind, default, meaning, |text| within(&range, text))
    }

    /// An optional whole number within `range`.
    pub fn optional_number<N>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<N>,
        meaning: &'static str,
    ) -> Option<N>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let kind = format!("whole number, {} to {}", range.start(), range.end());
        let declaration = Declaration { name, kind, absent: Absent::Optional, meaning, is_secret: false };
        self.declare(declaration, |text| within(&range, text))
    }

    /// A whole number of seconds within `range`.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        meaning: &'static str,
    ) -> Duration {
        let kind = format!("seconds, {} to {}", range.start(), range.end());
        Duration::from_secs(self.parsed(name, kind, default, meaning, |text| within(&range, text)))
    }

    /// A boolean.
    pub fn flag(&mut self, name: &'static str, default: bool, meaning: &'static str) -> bool {
        self.parsed(name, "true or false", default, meaning, |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err("must be true or false".to_owned()),
            }
        })
    }

    /// An absolute `http` or `https` address. It must not contain a password, because settings are printed.
    ///
    /// # Panics
    /// `default` is not such an address. The first `config check --list` of the service shows it.
    pub fn url(&mut self, name: &'static str, default: &'static str, meaning: &'static str) -> Url {
        #[expect(
            clippy::expect_used,
            reason = "the default is a literal of the service, wrong at first use or never"
        )]
        let address = http_url(default).expect("the default is an http address");
        let declaration = Declaration {
            name,
            kind: "http(s) address".to_owned(),
            absent: Absent::Default(default.to_owned()),
            meaning,
            is_secret: false,
        };
        self.declare(declaration, http_url).unwrap_or(address)
    }

    /// Any other type. `parse` returns the value, or the rule that is broken ("must be a, b or c"). `kind` names the
    /// type for people ("a, b or c").
    pub fn parsed<T: Display>(
        &mut self,
        name: &'static str,
        kind: impl Into<String>,
        default: T,
        meaning: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let absent = Absent::Default(default.to_string());
        let declaration = Declaration { name, kind: kind.into(), absent, meaning, is_secret: false };
        self.declare(declaration, parse).unwrap_or(default)
    }

    /// Records a mistake that depends on several settings.
    pub fn mistake(&mut self, name: &'static str, text: impl Into<String>) {
        self.mistakes.push(Mistake { name: name.to_owned(), text: text.into() });
    }

    /// Records a mistake that was found elsewhere.
    pub(super) fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Whether a mistake of this setting is recorded.
    pub(crate) fn has_mistake(&self, name: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.name == name)
    }

    /// Declares a setting, looks it up, parses it, and records a mistake. All other methods call this one.
    pub(super) fn declare<T>(
        &mut self,
        declaration: Declaration,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Declaration { name, kind, absent, meaning, is_secret } = declaration;
        let (given, value) = match self.source.lookup(name) {
            Lookup::Absent => {
                if absent == Absent::Required {
                    self.mistake(name, format!("is required: {meaning}"));
                }
                (None, None)
            }
            Lookup::Unusable(rule) => {
                self.mistake(name, rule);
                (None, None)
            }
            Lookup::Present(text) => {
                let value = parse(&text).map_err(|rule| {
                    let shown = if is_secret { String::new() } else { format!(", is {text:?}") };
                    self.mistake(name, rule + &shown);
                });
                (Some(text), value.ok())
            }
        };
        self.declared.push(Declared { name, kind, absent, meaning, is_secret, given });
        value
    }

    /// All settings that were read, in that order.
    pub(crate) fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// # Errors
    /// All mistakes, if there are any. A variable with the service's prefix that no setting read is one of them.
    pub fn finish(mut self) -> Result<(), Vec<Mistake>> {
        let unknown: Vec<Mistake> = self.source.names().filter_map(|name| self.unknown(name)).collect();
        self.mistakes.extend(unknown);
        self.finish_own()
    }

    /// As [`Reader::finish`], but ignores variables that were not read: for commands that need few settings.
    ///
    /// # Errors
    /// All mistakes, if there are any.
    pub(crate) fn finish_own(self) -> Result<(), Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(self.mistakes) }
    }
}

fn within<N: FromStr + PartialOrd + Display>(range: &RangeInclusive<N>, text: &str) -> Result<N, String> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

pub(super) fn http_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.password().is_none())
        .ok_or_else(|| "must be an http or https address without a password".to_owned())
}
