//! What the plant's names of things mean on the shelf.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{Sku, WarehouseName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{
    Answer, ApiJson, ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Idempotent, Page, Paging, Problem,
};

use super::inventory::shop;
use super::problems::{GOOD_EXISTS, GOOD_NOT_FOUND, WAREHOUSE_NOT_FOUND};
use crate::app::after_commit::AfterCommit;
use crate::app::goods::{self, Error, Good, NewGood};
use crate::app::warehouses;
use crate::state::State;

/// What a name and a code of the plant mean.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345",
    "sku": "AH-129834", "warehouse": null, "created_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct GoodView {
    id: Uuid,
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    nomenclature: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    ekn_code: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    sku: String,
    /// Where it is received; the default warehouse when null.
    warehouse: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// The same, and what was received because of it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345",
    "sku": "AH-129834", "warehouse": null, "created_at": "2026-11-21T08:00:00Z", "batches_received": 1,
}))]
pub(crate) struct AddedGood {
    #[serde(flatten)]
    good: GoodView,
    /// Closed batches that waited for it.
    batches_received: usize,
}

/// A page of meanings.
#[derive(Serialize, ToSchema)]
pub(crate) struct GoodPage {
    items: Vec<GoodView>,
    next_cursor: Option<String>,
}

/// A meaning to be.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345", "sku": "AH-129834" }))]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedGood {
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    nomenclature: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    ekn_code: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    sku: String,
    /// Where it is received; the default warehouse when absent.
    warehouse: Option<WarehouseName>,
}

/// What the plant's names mean, newest first.
#[utoipa::path(get, path = "/api/v1/stock-sync/goods", tag = "goods", operation_id = "list_goods", params(Paging),
    responses((status = 200, description = "A page", body = GoodPage),
              (status = 403, description = "not_of_one_user")))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Paging>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let found = goods::list(&state, after, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(GoodView::from)))
}

/// Says what a name and a code of the plant mean. Closed batches that waited for it are received at once.
#[utoipa::path(post, path = "/api/v1/stock-sync/goods", tag = "goods", operation_id = "add_good",
    request_body = WantedGood,
    responses((status = 201, description = "It is known", body = AddedGood),
              (status = 403, description = "not_of_one_user"), (status = 404, description = "warehouse_not_found"),
              (status = 409, description = "good_exists")))]
pub(crate) async fn add(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wanted): ApiJson<WantedGood>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let mut errors = FieldErrors::default();
    let mut name = |text: &str, pointer, most| {
        let trimmed = text.trim();
        let is_name = (1..=most).contains(&trimmed.chars().count()) && !trimmed.contains('\0');
        errors.check(is_name, pointer, "invalid", "must be a name: not empty, not longer than the plant's");
        trimmed.to_owned()
    };
    let (nomenclature, ekn_code) =
        (name(&wanted.nomenclature, "/nomenclature", 255), name(&wanted.ekn_code, "/ekn_code", 100));
    let sku = Sku::parse(&wanted.sku);
    if let Err(error) = &sku {
        errors.push("/sku", "invalid_sku", error.to_string());
    }
    errors.finish()?;
    let sku = sku.map_err(|error| Problem::internal(&error))?;
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    let wish = NewGood { nomenclature, ekn_code, sku, warehouse: wanted.warehouse.map(String::from) };
    let answered = idempotent.run_with_effects(async |conn| {
        let added = goods::add(&state, conn, wish.clone()).await.map_err(problem)?;
        let (good, batches_received, refused_batches) = added;
        let answer = Answer::created(&AddedGood { good: good.into(), batches_received })?;
        Ok((answer, AfterCommit { refused_batches, ..AfterCommit::default() }))
    });
    let (answer, after) = answered.await?;
    after.into_iter().for_each(AfterCommit::report);
    Ok(answer)
}

/// Forgets a meaning: batches closed from then on wait. What was received stays.
#[utoipa::path(delete, path = "/api/v1/stock-sync/goods/{id}", tag = "goods", operation_id = "remove_good",
    params(("id" = Uuid, Path, description = "Its id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 204, description = "It is gone"),
              (status = 403, description = "not_of_one_user"), (status = 404, description = "good_not_found")))]
pub(crate) async fn remove(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<Uuid>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let removed = state.pool.transaction(async |conn| goods::remove(conn, *id).await).await;
    removed.map_err(problem)?;
    Ok(HttpResponse::NoContent().finish())
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(&GOOD_NOT_FOUND),
        Error::Exists => Problem::new(&GOOD_EXISTS),
        Error::NoWarehouse => Problem::new(&WAREHOUSE_NOT_FOUND),
        Error::Database(error) => Problem::database(&error),
    }
}

impl From<Good> for GoodView {
    fn from(good: Good) -> Self {
        Self {
            id: good.id,
            nomenclature: good.nomenclature,
            ekn_code: good.ekn_code,
            sku: good.sku,
            warehouse: good.warehouse,
            created_at: good.created_at,
        }
    }
}
