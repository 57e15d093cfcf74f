//! Bundles: sets and multipacks.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::Sku;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiCsv, ApiJson, ApiPath, ApiQuery, Caller, FieldErrors, Idempotent, Limit, Problem};

use super::import::refuse;
use super::inventory::shop;
use super::problems::{BUNDLE_NESTED, BUNDLE_NOT_FOUND};
use crate::app::bundles::{self, BundleRow, Error, MOST_COMPONENT_UNITS};
use crate::domain::book::Component;
use crate::state::State;

/// A SKU that leaves a warehouse as its components.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "sku": "SET-3", "components": [{ "sku": "AH-129834", "quantity": 3 }] }))]
pub(crate) struct Bundle {
    sku: String,
    components: Vec<BundleComponent>,
}

/// One SKU of a bundle.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "sku": "AH-129834", "quantity": 3 }))]
pub(crate) struct BundleComponent {
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    sku: String,
    /// Units of it in one bundle.
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
}

/// The components that a bundle shall have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "components": [{ "sku": "AH-129834", "quantity": 3 }] }))]
pub(crate) struct UpdateBundle {
    #[schema(min_items = 1, max_items = 100)]
    components: Vec<BundleComponent>,
}

/// A page of bundles.
#[derive(Serialize, ToSchema)]
pub(crate) struct BundlePage {
    items: Vec<Bundle>,
    /// The SKU after which the next page begins.
    next_cursor: Option<String>,
}

/// Which bundles.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListBundlesQuery {
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(example = "SET-3")]
    cursor: Option<String>,
}

/// What became of a file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "imported": 12 }))]
pub(crate) struct ImportedBundles {
    /// Bundles that have the components of the file now.
    imported: usize,
}

/// Bundles in the order of their SKUs.
#[utoipa::path(get, path = "/api/v1/bundles", tag = "stock", operation_id = "list_bundles", params(ListBundlesQuery),
    responses((status = 200, description = "A page", body = BundlePage),
              (status = 403, description = "not_of_one_user")))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(query): ApiQuery<ListBundlesQuery>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let is_storable = query.cursor.as_deref().is_none_or(|it| !it.contains('\0'));
    let mut errors = FieldErrors::default();
    errors.check(is_storable, "cursor", "invalid", "must be `next_cursor` of an earlier page");
    errors.finish()?;
    let found = bundles::list(&state, query.cursor.as_deref(), query.limit.with_probe()).await;
    let mut found = found.map_err(|error| Problem::database(&error))?;
    let limit = usize::from(query.limit.get());
    let is_more = found.len() > limit;
    found.truncate(limit);
    let items: Vec<Bundle> = found
        .into_iter()
        .map(|(sku, components)| Bundle {
            sku,
            components: components.into_iter().map(BundleComponent::from).collect(),
        })
        .collect();
    let next_cursor = items.last().filter(|_| is_more).map(|it| it.sku.clone());
    Ok(HttpResponse::Ok().json(BundlePage { items, next_cursor }))
}

/// Sets the components of a bundle. They leave the warehouse with the next sale; units of earlier sales return as they left.
#[utoipa::path(put, path = "/api/v1/bundles/{sku}", tag = "stock", operation_id = "set_bundle",
    params(("sku" = String, Path, description = "The bundle's SKU", example = "SET-3")), request_body = UpdateBundle,
    responses((status = 200, description = "The bundle as it is now", body = Bundle),
              (status = 403, description = "not_of_one_user"), (status = 409, description = "bundle_nested")))]
pub(crate) async fn set(
    state: Data<State>,
    caller: Caller,
    sku: ApiPath<String>,
    ApiJson(wanted): ApiJson<UpdateBundle>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let mut errors = FieldErrors::default();
    let parsed = Sku::parse(&sku);
    if let Err(error) = &parsed {
        errors.push("sku", "invalid_sku", error.to_string());
    }
    let is_counted = (1..=100).contains(&wanted.components.len());
    errors.check(is_counted, "/components", "out_of_range", "must be 1 to 100 components");
    let mut components: Vec<Component> = Vec::new();
    for (at, it) in wanted.components.iter().enumerate() {
        let is_allowed = (1..=MOST_COMPONENT_UNITS).contains(&it.quantity);
        let rule = format!("must be from 1 to {MOST_COMPONENT_UNITS}");
        errors.check(is_allowed, &format!("/components/{at}/quantity"), "out_of_range", &rule);
        let pointer = format!("/components/{at}/sku");
        match Sku::parse(&it.sku) {
            Err(error) => errors.push(pointer, "invalid_sku", error.to_string()),
            Ok(part) if parsed.as_ref() == Ok(&part) => {
                errors.push(pointer, "bundle_nested", "a bundle is no component of itself".to_owned());
            }
            Ok(part) if components.iter().any(|it| it.sku == part) => {
                errors.push(pointer, "duplicate", "an earlier component has this SKU".to_owned());
            }
            Ok(part) => components.push(Component { sku: part, quantity: it.quantity }),
        }
    }
    errors.finish()?;
    let bundle = parsed.map_err(|error| Problem::internal(&error))?;
    let answer = Bundle {
        sku: bundle.to_string(),
        components: components.iter().map(BundleComponent::from).collect(),
    };
    let wanted = BTreeMap::from([(bundle, components)]);
    let replaced = state.pool.transaction(async |conn| bundles::replace(conn, &wanted).await).await;
    replaced.map_err(problem)?;
    Ok(HttpResponse::Ok().json(answer))
}

/// Removes a bundle: its SKU is deducted itself from then on. Units of earlier sales return as they left.
#[utoipa::path(delete, path = "/api/v1/bundles/{sku}", tag = "stock", operation_id = "remove_bundle",
    params(("sku" = String, Path, description = "The bundle's SKU", example = "SET-3")),
    responses((status = 204, description = "It is removed"), (status = 403, description = "not_of_one_user"),
              (status = 404, description = "bundle_not_found")))]
pub(crate) async fn remove(
    state: Data<State>,
    caller: Caller,
    sku: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let Ok(sku) = Sku::parse(&sku) else { return Err(Problem::new(&BUNDLE_NOT_FOUND)) };
    let removed = state.pool.transaction(async |conn| bundles::remove(conn, sku.as_str()).await).await;
    removed.map_err(problem)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sets bundles from a file: a row for each component, with the columns `sku`, `component` and `quantity`. The rows of a bundle
/// replace its components; other bundles stay. Nothing is imported when a row is invalid.
#[utoipa::path(post, path = "/api/v1/bundles/import", tag = "stock", operation_id = "import_bundles",
    request_body(content = String, content_type = "text/csv",
                 example = "sku,component,quantity\nSET-3,AH-129834,3\n"),
    responses((status = 200, description = "They are set", body = ImportedBundles),
              (status = 400, description = "import_refused"), (status = 403, description = "not_of_one_user"),
              (status = 409, description = "bundle_nested")))]
pub(crate) async fn import(
    caller: Caller,
    idempotent: Idempotent,
    ApiCsv(text): ApiCsv,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let (rows, errors) = bundles::read(&text);
    refuse(&errors)?;
    let mut wanted: BTreeMap<Sku, Vec<Component>> = BTreeMap::new();
    for row in rows {
        wanted.entry(row.sku).or_default().push(row.component);
    }
    idempotent
        .run(async |conn| {
            bundles::replace(conn, &wanted).await.map_err(problem)?;
            Answer::ok(&ImportedBundles { imported: wanted.len() })
        })
        .await
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(&BUNDLE_NOT_FOUND),
        Error::Nested { .. } => Problem::new(&BUNDLE_NESTED).detail(error.to_string()),
        Error::Database(error) => Problem::database(&error),
    }
}

impl From<BundleRow> for BundleComponent {
    fn from(row: BundleRow) -> Self {
        Self { sku: row.component, quantity: row.quantity }
    }
}

impl From<&Component> for BundleComponent {
    fn from(component: &Component) -> Self {
        Self { sku: component.sku.to_string(), quantity: component.quantity }
    }
}
