//! Levels from a file.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use web::{Answer, ApiCsv, ApiQuery, Caller, Idempotent, Problem};

use super::inventory::shop;
use super::problems::IMPORT_REFUSED;
use crate::app::import::{self, RowError};
use crate::app::warehouses;
use crate::state::State;

/// Faults told of at most: who made a thousand mistakes made one.
const TOLD: usize = 1000;

/// What becomes of a file with bad rows.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Nothing is imported.
    #[default]
    AllOrNothing,
    /// The good rows are.
    SkipBad,
}

/// How to import.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `all_or_nothing` unless told.
    #[serde(default)]
    #[param(inline, value_type = Option<Mode>, example = "skip_bad")]
    mode: Mode,
}

/// What became of a file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "imported": 118, "skipped": 1, "errors": [
    { "row": 17, "column": "on_hand", "code": "not_a_number", "message": "must be a whole number" }] }))]
pub(crate) struct ImportView {
    imported: usize,
    /// Rows that were not.
    skipped: usize,
    /// What is wrong with them; the first thousand.
    errors: Vec<RowErrorView>,
}

/// What is wrong with a row.
#[derive(Serialize, ToSchema)]
pub(crate) struct RowErrorView {
    /// The first below the header is 1.
    #[schema(example = 17)]
    row: usize,
    #[schema(example = "on_hand")]
    column: &'static str,
    #[schema(example = "not_a_number")]
    code: &'static str,
    message: String,
}

/// Sets levels as a file says: columns `sku` and `on_hand`, and where wanted `warehouse`, `low_threshold` and `note`. Doing it
/// again changes nothing.
#[utoipa::path(post, path = "/api/v1/stock/import", tag = "stock", operation_id = "import_stock", params(Wanted),
    request_body(content = String, content_type = "text/csv",
                 example = "sku,warehouse,on_hand,low_threshold\nAH-129834,Ирина,12,5\n"),
    responses((status = 200, description = "What became of it", body = ImportView),
              (status = 400, description = "import_refused"), (status = 403, description = "not_of_one_user")))]
pub(crate) async fn import(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiQuery(wanted): ApiQuery<Wanted>,
    ApiCsv(text): ApiCsv,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let (rows, errors) = import::read(&text);
    if wanted.mode == Mode::AllOrNothing || rows.is_empty() {
        refuse(&errors)?;
    }
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    idempotent
        .run(async |conn| {
            let imported = import::apply(&state, conn, &rows, &caller.subject).await;
            let imported = imported.map_err(|error| Problem::database(&error))?;
            if wanted.mode == Mode::AllOrNothing {
                refuse(&imported.errors)?;
            }
            let mut errors = [errors.as_slice(), &imported.errors].concat();
            errors.sort_by_key(|it| it.row);
            let skipped = rows_of(&errors);
            Answer::ok(&ImportView {
                imported: imported.imported,
                skipped,
                errors: errors.into_iter().take(TOLD).map(RowErrorView::from).collect(),
            })
        })
        .await
}

/// Rows these errors are of; they stand sorted.
fn rows_of(errors: &[RowError]) -> usize {
    let mut rows: Vec<usize> = errors.iter().map(|it| it.row).collect();
    rows.dedup();
    rows.len()
}

pub(super) fn refuse(errors: &[RowError]) -> Result<(), Problem> {
    if errors.is_empty() {
        return Ok(());
    }
    let told = errors.iter().take(TOLD);
    Err(told.fold(Problem::new(&IMPORT_REFUSED), |problem, it| {
        problem.error(format!("/{}/{}", it.row, it.column), it.code, it.message.clone())
    }))
}

impl From<RowError> for RowErrorView {
    fn from(error: RowError) -> Self {
        let RowError { row, column, code, message } = error;
        Self { row, column, code, message }
    }
}
