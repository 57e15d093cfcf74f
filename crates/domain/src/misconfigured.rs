//! Invalid settings that are detected only in use.

/// A cause of errors: a setting is wrong, and a retry cannot succeed. The process ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {rule}")]
pub struct Misconfigured {
    /// The setting's name.
    pub setting: &'static str,
    /// The rule it breaks, without its value.
    pub rule: String,
}
