//! What is on the shelf.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use domain::{Sku, WarehouseName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{ApiJson, ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Limit, Page, Problem};

use super::inventory::{LevelView, MovementView, in_range, is_note, problem, shop};
use super::problems::WAREHOUSE_NOT_FOUND;
use crate::app::inventory::{self, Change, LevelFilter, MovementFilter, Order};
use crate::app::warehouses;
use crate::domain::movement::MovementKind;
use crate::domain::wish::Wish;
use crate::state::State;

/// Movements told behind a number.
const EXPLAINED: i64 = 50;

/// Where a thing lies, and the movements behind the numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explained {
    #[schema(example = "AH-129834")]
    sku: String,
    levels: Vec<LevelView>,
    /// The latest ones, newest first.
    movements: Vec<MovementView>,
}

/// A page of levels.
#[derive(Serialize, ToSchema)]
pub(crate) struct LevelPage {
    items: Vec<LevelView>,
    next_cursor: Option<String>,
}

/// Which levels.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only of this thing.
    #[param(value_type = Option<String>, example = "AH-129834")]
    sku: Option<String>,
    /// Only in this warehouse.
    #[param(inline, example = "Ирина")]
    warehouse: Option<WarehouseName>,
    /// Only where there are fewer units.
    #[param(example = 5)]
    below: Option<i64>,
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// Where the page before ended: its `next_cursor`.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    cursor: Option<String>,
}

/// How much there is, as it was counted.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "on_hand": 12, "low_threshold": 5, "note": "counted on Friday" }))]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    #[schema(minimum = -1_000_000_000_000_i64, maximum = 1_000_000_000_000_i64)]
    on_hand: i64,
    /// As it was when absent; null for never.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000_000_000_i64)]
    low_threshold: Wish<i64>,
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// Levels, newest first.
#[utoipa::path(get, path = "/api/v1/stock", tag = "stock", operation_id = "list_stock", params(Wanted),
    responses((status = 200, description = "A page", body = LevelPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let warehouse = wanted.warehouse.map(String::from);
    let filter = LevelFilter { sku: wanted.sku, warehouse, below: wanted.below, after };
    let found = inventory::list(&state, &filter, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(LevelView::from)))
}

/// Where a thing lies, and why there is as much as there is.
#[utoipa::path(get, path = "/api/v1/stock/{sku}", tag = "stock", operation_id = "explain_stock",
    params(("sku" = String, Path, description = "The seller's name of the thing", example = "AH-129834")),
    responses((status = 200, description = "Levels and movements; none when the thing is not known", body = Explained)))]
pub(crate) async fn explain(
    state: Data<State>,
    caller: Caller,
    sku: ApiPath<String>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let levels = LevelFilter { sku: Some(sku.clone()), ..LevelFilter::default() };
    let levels = inventory::list(&state, &levels, i64::from(u16::MAX))
        .await
        .map_err(|error| Problem::database(&error))?;
    let moved = MovementFilter { sku: Some(sku.clone()), ..MovementFilter::default() };
    let moved =
        inventory::moved(&state, &moved, EXPLAINED).await.map_err(|error| Problem::database(&error))?;
    Ok(HttpResponse::Ok().json(Explained {
        sku: sku.clone(),
        levels: levels.into_iter().map(LevelView::from).collect(),
        movements: moved.into_iter().map(MovementView::from).collect(),
    }))
}

/// Says how much there is, whatever was thought before. With `If-Match` only if nobody changed it since that version.
#[utoipa::path(put, path = "/api/v1/stock/{sku}/{warehouse}", tag = "stock", operation_id = "set_stock",
    params(("sku" = String, Path, description = "The seller's name of the thing", example = "AH-129834"),
           ("warehouse" = inline(WarehouseName), Path, description = "Where it lies", example = "Warszawa"),
           ("If-Match" = Option<String>, Header, description = "The level's version, quoted", example = "\"3\"",
               pattern = r#"^"?[0-9]{1,18}"?$"#)),
    request_body = Counted,
    responses((status = 200, description = "The level as it is now", body = LevelView),
              (status = 404, description = "warehouse_not_found"),
              (status = 409, description = "stock_changed, too_few_units")))]
pub(crate) async fn set(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    place: ApiPath<(String, WarehouseName)>,
    ApiJson(counted): ApiJson<Counted>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let (sku, warehouse) = &*place;
    let mut errors = FieldErrors::default();
    let parsed = Sku::parse(sku);
    if let Err(error) = &parsed {
        errors.push("sku", "invalid_sku", error.to_string());
    }
    errors.check(in_range(counted.on_hand), "/on_hand", "out_of_range", "is more than can be counted");
    let is_threshold = counted.low_threshold.wanted().is_none_or(|units| *units >= 0 && in_range(*units));
    errors.check(is_threshold, "/low_threshold", "out_of_range", "must be from 0 to 1000000000000");
    errors.check(is_note(counted.note.as_deref()), "/note", "invalid", "must be at most 1000 characters");
    let if_version = if_match(&request, &mut errors);
    errors.finish()?;
    let Ok(sku) = parsed else { return Err(Problem::new(&WAREHOUSE_NOT_FOUND)) };
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    let order = Order {
        sku,
        warehouse,
        change: Change::Set(counted.on_hand),
        low_threshold: counted.low_threshold,
        if_version,
        kind: MovementKind::Adjustment,
        note: counted.note.as_deref(),
        who: &caller.subject,
    };
    let changed =
        state.pool.transaction(async |conn| inventory::change_one(&state, conn, order.clone()).await).await;
    let level = changed.map_err(|error| problem(&error))?;
    Ok(HttpResponse::Ok()
        .insert_header(("ETag", format!("\"{}\"", level.version)))
        .json(LevelView::from(level)))
}

/// The version a caller has seen (RFC 9110, section 13.1.1).
fn if_match(request: &HttpRequest, errors: &mut FieldErrors) -> Option<i64> {
    let text = request.headers().get("If-Match")?.to_str().unwrap_or_default();
    let digits = text.trim().trim_matches('"');
    let is_version = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let version = digits.parse().ok().filter(|_| is_version);
    errors.check(version.is_some(), "If-Match", "invalid", "must be the level's version, such as \"3\"");
    version
}
