//! Routes that are registered and documented from one list.

use actix_web::web::ServiceConfig;
use utoipa::openapi::OpenApi;

use crate::problem::ErrorCode;

/// The routes of a service below `/api/v1`, built by [`routes!`](crate::routes).
#[derive(Clone, Copy)]
pub struct Routes {
    /// Registers all handlers.
    pub register: fn(&mut ServiceConfig),
    /// Describes all handlers.
    pub document: fn() -> OpenApi,
    /// The error codes of these handlers, in addition to those of every service.
    pub codes: &'static [&'static ErrorCode],
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("codes", &self.codes).finish_non_exhaustive()
    }
}

/// Builds [`Routes`] of handlers, each with a `#[utoipa::path]`: both the router and the OpenAPI document are built
/// from this list. Of two paths that match a request, the first one is used.
///
/// ```ignore
/// web::routes! {
///     title: "stock-sync",
///     description: "Deducts sold units from stock.",
///     codes: problems::CODES,
///     "/stock" => { get: stock::list },
///     "/warehouses" => { get: warehouses::list, post: warehouses::add },
/// }
/// ```
#[macro_export]
macro_rules! routes {
    (
        title: $title:literal,
        description: $description:literal,
        codes: $codes:expr,
        $(schemas: [$($schema:ident),+ $(,)?],)?
        $($path:literal => { $($method:ident: $($handler:ident)::+),+ $(,)? }),+ $(,)?
    ) => {{
        #[derive(::utoipa::OpenApi)]
        #[openapi(
            info(title = $title, description = $description),
            paths($($($($handler)::+),+),+),
            $(components(schemas($($schema),+)))?
        )]
        struct Document;

        fn register(config: &mut ::actix_web::web::ServiceConfig) {
            $(
                config.service(
                    ::actix_web::web::resource($path)
                        $(.route(::actix_web::web::$method().to($($handler)::+)))+,
                );
            )+
        }

        $crate::Routes { register, document: <Document as ::utoipa::OpenApi>::openapi, codes: $codes }
    }};
}
