//! What every service's OpenAPI document says in the same words.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::{Modify, PartialSchema, ToSchema};

use crate::problem::{Body, FieldError};

/// Adds the two ways to authenticate (`bearer`, `api_key`; one of them on every operation) and the
/// `Problem` schema: `#[openapi(modifiers(&Conventions), …)]`, with the name imported.
#[derive(Debug)]
pub struct Conventions;

impl Modify for Conventions {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        bearer.description = Some("HS256, `aud` zaplecze, `exp` required, scopes in `scope`.".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme(
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
        );
        components.schemas.insert(Body::name().into_owned(), Body::schema());
        components.schemas.insert(FieldError::name().into_owned(), FieldError::schema());

        let no_scopes: [&str; 0] = [];
        document.security = Some(vec![
            SecurityRequirement::new("bearer", no_scopes),
            SecurityRequirement::new("api_key", no_scopes),
        ]);
    }
}

/// The document as pretty JSON, with a line end: what `/openapi.json` serves and `openapi` prints.
pub fn to_json(document: &OpenApi) -> String {
    // A document is a tree of plain structs; were it ever not to serialise, the empty text is seen by the
    // check that compares it with the committed one.
    serde_json::to_string_pretty(document).map(|json| json + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

    use utoipa::OpenApi;

    use super::Conventions;

    #[derive(OpenApi)]
    #[openapi(modifiers(&Conventions))]
    struct Empty;

    #[test]
    fn every_document_knows_problems_and_both_credentials() {
        let json = super::to_json(&Empty::openapi());
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        assert_eq!(document["components"]["securitySchemes"]["api_key"]["name"], "X-API-Key");
        assert_eq!(document["security"].as_array().unwrap().len(), 2);
        let schemas = &document["components"]["schemas"];
        assert_eq!(
            schemas["Problem"]["properties"]["errors"]["items"]["$ref"],
            "#/components/schemas/FieldError"
        );
        assert!(schemas["FieldError"]["properties"]["pointer"].is_object());
        for member in ["type", "title", "status", "code", "detail", "instance", "request_id"] {
            assert!(schemas["Problem"]["properties"][member].is_object(), "{member}");
        }
    }
}
