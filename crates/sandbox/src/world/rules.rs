//! The rules of this Allegro: limits, undocumented behaviour, known faults.
//!
//! docs/guides/use-the-sandbox.md describes every rule; a test compares both.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All rules. Each is changed by its group and name, over the admin interface or by `--rule group.name=value`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) auth: AuthRules,
    pub(crate) api: ApiRules,
    pub(crate) journal: JournalRules,
    pub(crate) list: ListRules,
    pub(crate) limits: LimitRules,
}

/// Rules of authorization and tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthRules {
    pub(crate) auto_approve: bool,
    pub(crate) device_interval_seconds: u64,
    pub(crate) slow_down_seconds: u64,
    pub(crate) device_code_seconds: u64,
    pub(crate) expired_code_error: String,
    pub(crate) unknown_code_error: String,
    pub(crate) numbers_as_text: bool,
    pub(crate) device_grant: bool,
    pub(crate) access_token_seconds: u64,
    pub(crate) refresh_token_seconds: u64,
    pub(crate) refresh_grace_seconds: u64,
    pub(crate) refused_refresh_error: String,
    pub(crate) sessions: usize,
    pub(crate) tokens_per_user: usize,
    pub(crate) tokens_per_user_seconds: u64,
    pub(crate) scopes: String,
}

impl Default for AuthRules {
    fn default() -> Self {
        Self {
            auto_approve: false,
            device_interval_seconds: 5,
            slow_down_seconds: 0,
            device_code_seconds: 3600,
            expired_code_error: "expired_token".to_owned(),
            unknown_code_error: "invalid_request".to_owned(),
            numbers_as_text: false,
            device_grant: true,
            access_token_seconds: 43_199,
            refresh_token_seconds: 90 * 86_400,
            refresh_grace_seconds: 60,
            refused_refresh_error: "invalid_grant".to_owned(),
            sessions: 20,
            tokens_per_user: 0,
            tokens_per_user_seconds: 60,
            scopes: "allegro:api:profile:read allegro:api:orders:read allegro:api:orders:write \
                     allegro:api:sale:offers:read allegro:api:sale:offers:write"
                .to_owned(),
        }
    }
}

/// Rules of every call of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent switch")]
pub(crate) struct ApiRules {
    pub(crate) check_accept: bool,
    pub(crate) check_content_type: bool,
    pub(crate) check_user_agent: bool,
    pub(crate) user_agent_status: u16,
    pub(crate) user_agent_code: String,
    pub(crate) trace_id: bool,
    pub(crate) explicit_nulls: bool,
    pub(crate) stale_read_ms: u64,
    pub(crate) changes_per_order: u32,
}

impl Default for ApiRules {
    fn default() -> Self {
        Self {
            check_accept: true,
            check_content_type: true,
            check_user_agent: false,
            user_agent_status: 403,
            user_agent_code: "UserAgentNotAllowed".to_owned(),
            trace_id: true,
            explicit_nulls: true,
            stale_read_ms: 0,
            changes_per_order: 0,
        }
    }
}

/// Meaning of a `from` that names an event that is not in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownFrom {
    Compare,
    Beginning,
    Empty,
    Refuse,
}

/// Effect of an event type that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownType {
    Refuse,
    Ignore,
    Match,
}

/// Statistics of an empty journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmptyStats {
    Null,
    Absent,
}

/// Rules of the event journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JournalRules {
    pub(crate) duplicate_rate: f64,
    pub(crate) disorder_rate: f64,
    pub(crate) cancel_first_rate: f64,
    pub(crate) hold_seconds: u64,
    pub(crate) delay_rate: f64,
    pub(crate) delay_seconds: u64,
    pub(crate) missing_rate: f64,
    pub(crate) resend_seconds: u64,
    pub(crate) late_ids: bool,
    pub(crate) without_id: bool,
    pub(crate) days: u64,
    pub(crate) unknown_from: UnknownFrom,
    pub(crate) unknown_type: UnknownType,
    pub(crate) comma_types: bool,
    pub(crate) empty_stats: EmptyStats,
}

impl Default for JournalRules {
    fn default() -> Self {
        Self {
            duplicate_rate: 0.0,
            disorder_rate: 0.0,
            cancel_first_rate: 0.0,
            hold_seconds: 2,
            delay_rate: 0.0,
            delay_seconds: 1800,
            missing_rate: 0.0,
            resend_seconds: 14_400,
            late_ids: false,
            without_id: false,
            days: 60,
            unknown_from: UnknownFrom::Compare,
            unknown_type: UnknownType::Refuse,
            comma_types: false,
            empty_stats: EmptyStats::Null,
        }
    }
}

/// Rules of the list of orders and of single orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListRules {
    pub(crate) depth: usize,
    pub(crate) page: usize,
    pub(crate) days: u64,
    pub(crate) detail_days: u64,
    pub(crate) bad_number_status: u16,
    pub(crate) lag_seconds: u64,
    pub(crate) hole_rate: f64,
}

impl Default for ListRules {
    fn default() -> Self {
        Self {
            depth: 10_000,
            page: 100,
            days: 365,
            detail_days: 365,
            bad_number_status: 422,
            lag_seconds: 0,
            hole_rate: 0.0,
        }
    }
}

/// Rate limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitRules {
    pub(crate) requests_per_minute: u64,
    pub(crate) block_seconds: u64,
    pub(crate) lengthens: bool,
    pub(crate) retry_after: bool,
    pub(crate) remaining: bool,
    pub(crate) user_bucket: f64,
    pub(crate) user_leak_per_second: f64,
}

impl Default for LimitRules {
    fn default() -> Self {
        Self {
            requests_per_minute: 9000,
            block_seconds: 60,
            lengthens: true,
            retry_after: false,
            remaining: false,
            user_bucket: 0.0,
            user_leak_per_second: 10.0,
        }
    }
}

impl Rules {
    /// These rules with some of them changed. The error describes the invalid change.
    pub(crate) fn changed(&self, change: &Value) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        lay_over(&mut all, change);
        let changed: Self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        changed.check()?;
        Ok(changed)
    }

    fn check(&self) -> Result<(), String> {
        let journal = &self.journal;
        let rates = [
            ("journal.duplicate_rate", journal.duplicate_rate),
            ("journal.disorder_rate", journal.disorder_rate),
            ("journal.cancel_first_rate", journal.cancel_first_rate),
            ("journal.delay_rate", journal.delay_rate),
            ("journal.missing_rate", journal.missing_rate),
            ("list.hole_rate", self.list.hole_rate),
        ];
        if let Some((name, _)) = rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(format!("{name} is between 0 and 1"));
        }
        for (name, status) in [
            ("api.user_agent_status", self.api.user_agent_status),
            ("list.bad_number_status", self.list.bad_number_status),
        ] {
            if !(400..=599).contains(&status) {
                return Err(format!("{name} is a status between 400 and 599"));
            }
        }
        let limits = &self.limits;
        if limits.user_bucket < 0.0 || limits.user_leak_per_second <= 0.0 {
            return Err("limits.user_bucket is not negative, limits.user_leak_per_second above 0".to_owned());
        }
        if self.list.page == 0 || self.auth.sessions == 0 {
            return Err("list.page and auth.sessions are 1 at least".to_owned());
        }
        Ok(())
    }
}

/// Merges the values of one object into another, group by group.
fn lay_over(all: &mut Value, change: &Value) {
    match (all, change) {
        (Value::Object(all), Value::Object(change)) => {
            for (name, value) in change {
                lay_over(all.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (all, change) => *all = change.clone(),
    }
}
