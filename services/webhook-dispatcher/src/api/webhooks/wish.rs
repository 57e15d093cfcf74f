//! What a PATCH asks for.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use web::{FieldErrors, Problem, extract};

use crate::app::subscriptions::{Change, Settings};

/// Settings by name.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ChangeWebhook(Map<String, Value>);

impl PartialSchema for ChangeWebhook {
    /// As when a subscription is made, but nothing is required.
    fn schema() -> RefOr<Schema> {
        let mut schema = Settings::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.example = Some(serde_json::json!({ "events": ["*"], "description": null }));
            for secret in ["secret", "secret_key"] {
                object.properties.shift_remove(secret);
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
    /// What has the wrong shape; a secret, which is not changed this way.
    pub(super) fn apply(&self, current: &Settings) -> Result<Change, Problem> {
        let mut errors = FieldErrors::default();
        for secret in ["secret", "secret_key"] {
            let is_named = self.0.contains_key(secret);
            let message = "is changed by POST /api/v1/webhooks/{id}/rotate-secret";
            errors.check(!is_named, &format!("/{secret}"), "not_changeable", message);
        }
        errors.finish()?;
        let mut merged = serde_json::to_value(current).map_err(|error| Problem::internal(&error))?;
        if let Value::Object(fields) = &mut merged {
            fields.extend(self.0.clone());
        }
        Ok(Change {
            settings: extract::from_value(merged)?,
            names_headers: self.0.contains_key("headers"),
            names_certificate: self.0.contains_key("client_certificate"),
        })
    }
}
