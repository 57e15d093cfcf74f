//! What a PATCH asks for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use web::{FieldErrors, Problem, extract};

use crate::app::subscriptions::{Change, Settings};

/// Callers of before know it as `timeout`.
const TIMEOUT: &str = "timeout_seconds";

/// What only `rotate-secret` changes.
const ROTATED: [&str; 3] = ["secret", "secret_key", "signature"];

/// Settings by name, as raw JSON, so that a filter's numbers keep every digit.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ChangeWebhook(BTreeMap<String, Box<RawValue>>);

impl PartialSchema for ChangeWebhook {
    /// As when a subscription is made, but nothing is required.
    fn schema() -> RefOr<Schema> {
        let mut schema = Settings::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.example = Some(serde_json::json!({ "events": ["*"], "description": null }));
            for rotated in ROTATED {
                object.properties.shift_remove(rotated);
            }
        }
        schema
    }
}

impl ToSchema for ChangeWebhook {}

impl ChangeWebhook {
    /// The settings with what is named in the place of what was there.
    ///
    /// # Errors
    /// What has the wrong shape; a secret or its kind, which are not changed this way.
    pub(super) fn apply(&self, current: &Settings) -> Result<Change, Problem> {
        let mut errors = FieldErrors::default();
        for rotated in ROTATED {
            let is_named = self.0.contains_key(rotated);
            let message = "is changed by POST /api/v1/webhooks/{id}/rotate-secret";
            errors.check(!is_named, &format!("/{rotated}"), "not_changeable", message);
        }
        let is_ambiguous = self.0.contains_key(TIMEOUT) && self.0.contains_key("timeout");
        errors.check(
            !is_ambiguous,
            "/timeout",
            "ambiguous",
            "is the same as timeout_seconds; give one of them",
        );
        errors.finish()?;
        let internal = |error: serde_json::Error| Problem::internal(&error);
        let current = serde_json::to_string(current).map_err(internal)?;
        let mut merged: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&current).map_err(internal)?;
        let named = |name: &String| if name == "timeout" { TIMEOUT.to_owned() } else { name.clone() };
        merged.extend(self.0.iter().map(|(name, value)| (named(name), value.clone())));
        let merged = serde_json::to_string(&merged).map_err(internal)?;
        Ok(Change {
            settings: extract::from_text(&merged)?,
            names_headers: self.0.contains_key("headers"),
            names_certificate: self.0.contains_key("client_certificate"),
        })
    }
}
