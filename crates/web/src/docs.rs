//! Swagger UI at `/docs`: shows the OpenAPI document and sends trial requests.
//!
//! Invariant: the page loads nothing from other servers and connects only to this one, whatever a document contains.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, ServiceConfig};
use utoipa_swagger_ui::Config;

use crate::problem::{INTERNAL, NOT_FOUND, Problem};

/// Scripts and styles only from this server, none of them inline. The page connects only to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const INDEX: &str = "/docs/index.html";

pub(crate) fn routes(config: &mut ServiceConfig) {
    // The validator would be another party's server.
    let settings = Config::from("/openapi.json").validator_url("none").use_base_layout();
    config
        .app_data(Data::from(Arc::new(settings)))
        .service(web::resource("/docs").get(index))
        .service(web::resource("/docs/{file}").get(file));
}

/// The page's links are relative to the folder `/docs/`.
async fn index() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, INDEX)).finish()
}

async fn file(name: Path<String>, settings: Data<Config<'static>>) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&name, settings.into_inner()).map_err(|error| {
        tracing::error!(error = %error, "Swagger UI cannot be configured");
        Problem::new(&INTERNAL)
    })?;
    let file = found.ok_or_else(|| Problem::new(&NOT_FOUND))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, file.content_type))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file.bytes.into_owned()))
}
