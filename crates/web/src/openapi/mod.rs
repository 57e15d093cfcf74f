//! Completes the services' OpenAPI documents with their common parts.
//!
//! A handler documents only its own parts: of an error answer, its codes, separated by commas, as description (`(status
//! = 404, description = "order_not_found")`).

mod errors;
mod examples;
mod parameters;

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{OpenApi, RefOr, Required};
use utoipa::{PartialSchema, ToSchema};

use self::errors::Errors;
use crate::problem::{Body, CODES, ErrorCode, FieldError};

/// Describes answers of the HTTP library, which are sent before the operation is known.
const WITHOUT_BODY: &str = "A malformed HTTP/1.1 request is answered with 400, 408 or 431 without a body, see \
    https://github.com/zaplecze/zaplecze/blob/main/docs/reference/ERRORS.md#without-a-body.";

/// Completes a document and prints it as pretty JSON with a line end: the content of `/openapi.json` and the output of
/// `openapi`. `own` are the codes of the service's routes in addition to the common ones.
///
/// Removes `null` from parameters. Adds the answers of the HTTP layer to the description, the two authentication
/// schemes (one of them required on every operation), the header parameters, all error answers, examples of bodies from
/// those of their schemas, and `x-error-codes`: every code, from which docs/reference/ERRORS.md is generated.
pub fn to_json(mut document: OpenApi, own: &[&'static ErrorCode]) -> String {
    let own_description = document.info.description.take();
    document.info.description =
        Some(own_description.into_iter().chain([WITHOUT_BODY.to_owned()]).collect::<Vec<_>>().join("\n\n"));
    let components = document.components.get_or_insert_default();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("HS256, or RS256, ES256, EdDSA of a known issuer; `aud` zaplecze, `exp` and `sub` required, scopes in `scope`.".to_owned());
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
    for (path, item) in &mut document.paths.paths {
        parameters::remove_null(item);
        complete(path, item, own);
    }
    examples::complete(&mut document);
    let codes: Vec<_> = CODES.iter().chain(own).map(|code| errors::described(code)).collect();
    document.extensions.get_or_insert_default().merge(Extensions::from_iter([("x-error-codes", codes)]));

    // A document is a tree of plain structs. If it could not be serialized, the test that compares it with the
    // committed one would detect the empty text. It is converted to a `Value` first, because the document's maps have
    // no order.
    serde_json::to_value(document)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map(|json| json + "\n")
        .unwrap_or_default()
}

fn complete(path: &str, item: &mut PathItem, own: &[&'static ErrorCode]) {
    let PathItem { get, put, post, delete, patch, .. } = item;
    for operation in [get, put, delete, patch].into_iter().flatten() {
        Errors::of(operation, own).write(path, operation);
        parameters(operation).push(request_id().into());
    }
    if let Some(operation) = post {
        Errors::of(operation, own).with_idempotency().write(path, operation);
        parameters(operation).extend([idempotency_key().into(), request_id().into()]);
        for (_, answer) in
            operation.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('2'))
        {
            if let RefOr::T(answer) = answer {
                answer.headers.insert("Idempotency-Replayed".to_owned(), replayed().into());
            }
        }
    }
}

fn parameters(operation: &mut Operation) -> &mut Vec<RefOr<Parameter>> {
    operation.parameters.get_or_insert_default()
}

fn header(name: &str, schema: ObjectBuilder, description: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.schema_type(Type::String).examples([example])))
        .build()
}

/// The header's schema has no rules, because no request is rejected for its id.
fn request_id() -> Parameter {
    header(
        "X-Request-Id",
        ObjectBuilder::new(),
        "Identifier of the request: 1 to 128 visible ASCII characters; any other value is replaced. It is returned in the \
         answer, logged and propagated. The service generates one when absent.",
        "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    )
}

fn idempotency_key() -> Parameter {
    header(
        "Idempotency-Key",
        ObjectBuilder::new().min_length(Some(1)).max_length(Some(255)).pattern(Some("^[ -~]+$")),
        "Names the request for 24 hours: sent again with the same key and content it has no second effect and gets the \
         first one's answer.",
        "order-4711-first-try",
    )
}

fn replayed() -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Boolean).build();
    let mut header = Header::new(schema);
    header.description =
        Some("`true` if this is the stored answer of the first request with this key.".to_owned());
    header
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

    use serde_json::json;
    use utoipa::OpenApi;

    mod codes {
        crate::error_codes! {
            pub(super)
            DOOR_NOT_FOUND = 404 "door_not_found", "No such door", "No door has this id.";
        }
    }

    #[utoipa::path(post, path = "/doors/{id}", params(("id" = u8, Path)), request_body = String,
        responses((status = 201, body = u8), (status = 404, description = "door_not_found, not_found")))]
    #[expect(dead_code, reason = "only its description counts")]
    fn open() {}

    #[utoipa::path(get, path = "/doors", responses((status = 200, body = u8)))]
    #[expect(dead_code, reason = "only its description counts")]
    fn list() {}

    #[derive(OpenApi)]
    #[openapi(paths(open, list))]
    struct Document;

    fn document() -> serde_json::Value {
        serde_json::from_str(&super::to_json(Document::openapi(), codes::CODES)).unwrap()
    }

    #[test]
    fn every_document_has_codes_and_both_security_schemes() {
        let document = document();
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        assert_eq!(document["components"]["securitySchemes"]["api_key"]["name"], "X-API-Key");
        assert_eq!(document["security"].as_array().unwrap().len(), 2);
        assert!(document["info"]["description"].as_str().unwrap().ends_with(super::WITHOUT_BODY));
        let schemas = &document["components"]["schemas"];
        assert_eq!(
            schemas["Problem"]["properties"]["errors"]["items"]["$ref"],
            "#/components/schemas/FieldError"
        );
        let codes = document["x-error-codes"].as_array().unwrap();
        assert_eq!((&codes[0]["code"], &codes[0]["status"]), (&json!("bad_request"), &json!(400)));
        assert_eq!(codes.last().unwrap()["code"], "door_not_found");
    }

    #[test]
    fn operations_list_every_error_code() {
        let document = document();
        let statuses = |method: &str, path: &str| -> Vec<String> {
            let responses = document["paths"][path][method]["responses"].as_object().unwrap();
            responses.keys().filter(|status| *status >= &"400".to_owned()).cloned().collect()
        };
        let post = ["400", "401", "403", "404", "409", "413", "415", "422", "500", "503"];
        assert!(post.iter().all(|status| statuses("post", "/doors/{id}").contains(&(*status).to_owned())));
        let get = statuses("get", "/doors");
        assert!(
            !["400", "404", "409", "413", "422"].iter().any(|status| get.contains(&(*status).to_owned()))
        );

        let not_found = &document["paths"]["/doors/{id}"]["post"]["responses"]["404"];
        let examples = not_found["content"]["application/problem+json"]["examples"].as_object().unwrap();
        assert_eq!(examples.keys().collect::<Vec<_>>(), ["door_not_found", "not_found"]);
        let problem = &examples["door_not_found"]["value"];
        assert_eq!((&problem["status"], &problem["title"]), (&json!(404), &json!("No such door")));
    }
}
