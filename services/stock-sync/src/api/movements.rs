//! What came and went, and why.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{Sku, WarehouseName};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiJson, ApiQuery, Caller, Cursor, FieldErrors, Idempotent, Limit, Page, Problem};

use super::inventory::{LevelView, MovementView, in_range, is_note, problem, shop};
use crate::app::inventory::{self, Change, MOST_UNITS, MovementFilter, Order};
use crate::app::warehouses;
use crate::domain::movement::MovementKind;
use crate::domain::wish::Wish;
use crate::state::State;

/// A page of movements.
#[derive(Serialize, ToSchema)]
pub(crate) struct MovementPage {
    items: Vec<MovementView>,
    next_cursor: Option<String>,
}

/// Which movements.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only of this thing.
    #[param(example = "AH-129834")]
    sku: Option<String>,
    /// Only in this warehouse.
    #[param(inline, example = "Ирина")]
    warehouse: Option<WarehouseName>,
    /// Only of this order.
    #[param(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    order_id: Option<String>,
    /// Only of this kind.
    #[param(inline, example = "sale")]
    kind: Option<MovementKind>,
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

/// Units that came in, or a correction.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "sku": "AH-129834", "warehouse": "Ирина", "delta": 24, "kind": "receipt", "note": "two boxes from the workshop",
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Adjustment {
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    sku: String,
    /// Where; the default warehouse when absent.
    warehouse: Option<WarehouseName>,
    /// Units added; negative for taken away.
    #[schema(schema_with = delta_schema)]
    delta: i64,
    /// `adjustment` unless told.
    #[serde(default)]
    kind: ByHand,
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// The rules for `delta`: anything but 0.
fn delta_schema() -> Schema {
    let range = |from: i64, to: i64| {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(from)).maximum(Some(to))
    };
    AnyOfBuilder::new()
        .description(Some("Units added; negative for taken away; not 0."))
        .item(range(-MOST_UNITS, -1))
        .item(range(1, MOST_UNITS))
        .build()
        .into()
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ByHand {
    #[default]
    Adjustment,
    Receipt,
}

/// What came and went, newest first.
#[utoipa::path(get, path = "/api/v1/stock/movements", tag = "stock", operation_id = "list_movements", params(Wanted),
    responses((status = 200, description = "A page", body = MovementPage),
              (status = 403, description = "not_of_one_user")))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let Wanted { sku, warehouse, order_id, kind, .. } = wanted;
    let kind = kind.map(MovementKind::word);
    let filter = MovementFilter { sku, warehouse: warehouse.map(String::from), order_id, kind, after };
    let found = inventory::moved(&state, &filter, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(MovementView::from)))
}

/// Adds units that came in, or takes away what is not there; a thing that is not known yet is known from then on.
#[utoipa::path(post, path = "/api/v1/stock/adjustments", tag = "stock", operation_id = "adjust_stock",
    request_body = Adjustment,
    responses((status = 200, description = "The level as it is now", body = LevelView),
              (status = 403, description = "not_of_one_user"),
              (status = 404, description = "warehouse_not_found"),
              (status = 409, description = "too_few_units")))]
pub(crate) async fn adjust(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wanted): ApiJson<Adjustment>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let mut errors = FieldErrors::default();
    let sku = Sku::parse(&wanted.sku);
    if let Err(error) = &sku {
        errors.push("/sku", "invalid_sku", error.to_string());
    }
    let is_some = wanted.delta != 0 && in_range(wanted.delta);
    errors.check(
        is_some,
        "/delta",
        "out_of_range",
        "must be from -1000000000000 to 1000000000000, and not 0",
    );
    errors.check(is_note(wanted.note.as_deref()), "/note", "invalid", "must be at most 1000 characters");
    errors.finish()?;
    let sku = sku.map_err(|error| Problem::internal(&error))?;
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    idempotent
        .run(async |conn| {
            let order = Order {
                sku: sku.clone(),
                warehouse: wanted.warehouse.as_deref().unwrap_or(&state.settings.default_warehouse),
                change: Change::Add(wanted.delta),
                low_threshold: Wish::AsItWas,
                if_version: None,
                kind: match wanted.kind {
                    ByHand::Adjustment => MovementKind::Adjustment,
                    ByHand::Receipt => MovementKind::Receipt,
                },
                note: wanted.note.as_deref(),
                who: &caller.subject,
            };
            let changed = inventory::change_one(&state, conn, order).await;
            Answer::ok(&LevelView::from(changed.map_err(|error| problem(&error))?))
        })
        .await
}
