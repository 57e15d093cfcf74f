//! Everything of a user, streamed.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use domain::{TokenId, UserId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::{IntoParams, ToSchema};
use web::{ApiPath, ApiQuery, Caller, Incomplete, Parts, Problem};

use super::super::problems::EXPORTS_BUSY;
use crate::app::export::{Export, ExportError, Format, Scope};
use crate::state::State;

/// Exports of one process at once: each keeps a connection for as long as it takes.
const AT_ONCE: usize = 3;
static EXPORTS: Semaphore = Semaphore::const_new(AT_ONCE);
/// When to ask again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// How orders are written.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatWord {
    /// Everything, a JSON document on each line: what the command `import` reads.
    #[default]
    Ndjson,
    /// A row for each order: what a spreadsheet reads.
    Csv,
}

/// Which orders, and how they are written.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// How they are written.
    #[serde(default)]
    #[param(inline, example = "ndjson")]
    format: FormatWord,
    /// Only of this account.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// Only bought at or after this moment.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-11-01T00:00:00Z")]
    from: Option<OffsetDateTime>,
    /// Only bought before this moment.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-12-01T00:00:00Z")]
    to: Option<OffsetDateTime>,
}

/// The orders of a user's accounts as they stand at one moment, oldest first, streamed. The last line of `ndjson` is a
/// trailer with the number of orders and the SHA-256 of the lines before it. An answer that breaks off (a chunked body
/// without its end) is not whole.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/export", tag = "orders", operation_id = "export_orders",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Asked),
    responses((status = 200, description = "The orders", content(
                (String = "application/x-ndjson", example = "{\"account\":{\"format\":1,\"id\":\"0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f\"}}\n{\"trailer\":{\"orders\":0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}}\n"),
                (String = "text/csv", example = "token_id,allegro_order_id,order_date\r\n"))),
              (status = 503, description = "exports_busy")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
    ApiQuery(asked): ApiQuery<Asked>,
) -> Result<HttpResponse, Problem> {
    web::page::check_span(asked.from, asked.to)?;
    let (format, kind, name) = match asked.format {
        FormatWord::Ndjson => (Format::Ndjson, "application/x-ndjson", "orders.ndjson"),
        FormatWord::Csv => (Format::Csv, "text/csv; charset=utf-8", "orders.csv"),
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    if !caller.may_see(Some(&user_id)) {
        return Ok(answer.body(Export::of_nobody(format).map_err(|error| Problem::internal(&error))?));
    }
    let place = EXPORTS.try_acquire().map_err(|_full| Problem::new(&EXPORTS_BUSY).retry_after(ASK_AGAIN))?;
    let scope = Scope {
        user_id: Some(user_id.to_string()),
        token_id: asked.token_id.map(TokenId::as_uuid),
        from: asked.from,
        to: asked.to,
        ..Scope::default()
    };
    let export = Export::begin(&state.pool, scope, format).await.map_err(|error| match error {
        ExportError::Database(error) => Problem::database(&error),
        error => Problem::internal(&error),
    })?;
    Ok(answer.streaming(web::streamed(move |parts| send(export, place, parts))))
}

/// Reads and sends until the end, an error, or nobody takes it: then transaction and query end with the export.
async fn send(mut export: Export, _place: SemaphorePermit<'_>, parts: Parts) -> Result<(), Incomplete> {
    while let Some(part) = export.next().await.map_err(Incomplete::failed)? {
        failpoint::hit("export.before_send");
        parts.send(part.into()).await?;
    }
    Ok(())
}
