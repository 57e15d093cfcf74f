//! A setting that only its use shows to be wrong.

/// Says among an error's causes that a setting is wrong, which no other try heals: the process ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {rule}")]
pub struct Misconfigured {
    /// The setting's name.
    pub setting: &'static str,
    /// The rule it breaks, without its value.
    pub rule: String,
}
