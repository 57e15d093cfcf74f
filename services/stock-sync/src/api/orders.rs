//! Orders handed in by hand.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{Sku, TokenId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Answer, ApiJson, Caller, FieldErrors, Idempotent, Problem};

use super::inventory::shop;
use super::operations::OperationView;
use super::problems::ACCOUNT_NOT_FOUND;
use crate::app::after_commit::AfterCommit;
use crate::app::ledger::{self, StockCommand};
use crate::app::{accounts, operations, warehouses};
use crate::domain::book::Outcome;
use crate::domain::order_view::{Line, MOST_UNITS, OrderStatus, OrderView, SameLine, is_allegro};
use crate::state::State;

/// An order as Allegro shapes it (`GET /order/checkout-forms/{id}`); fields not named here are let through.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "status": "READY_FOR_PROCESSING",
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "lineItems": [{ "id": "62ae358b-8f65-4fc4-9c77-bedf604a2e2b", "quantity": 2,
                    "offer": { "id": "3213213", "external": { "id": "AH-129834" } } }],
}))]
pub(crate) struct WantedOrder {
    /// Allegro's id of the order, in whatever form.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    id: String,
    /// The account it belongs to; without it the order is not marked at allegro-backup.
    token_id: Option<TokenId>,
    /// Allegro's form status; absent counts as ready.
    #[schema(pattern = "^READY_FOR_PROCESSING$")]
    status: Option<String>,
    #[serde(rename = "lineItems")]
    #[schema(min_items = 1)]
    line_items: Vec<WantedLine>,
    fulfillment: Option<Fulfillment>,
}

#[derive(Deserialize, ToSchema)]
struct WantedLine {
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    id: String,
    #[schema(minimum = 1, maximum = 1_000_000_000_i64)]
    quantity: i64,
    offer: Offer,
    #[serde(rename = "boughtAt", default, with = "domain::instant::option")]
    bought_at: Option<OffsetDateTime>,
}

#[derive(Deserialize, ToSchema)]
struct Offer {
    external: Option<External>,
}

#[derive(Deserialize, ToSchema)]
struct External {
    #[schema(min_length = 1, max_length = 100, pattern = r"\S")]
    id: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct Fulfillment {
    /// The seller's status. `CANCELLED` cancels the order: its units return.
    #[schema(example = "NEW")]
    status: Option<String>,
    provider: Option<Provider>,
    #[serde(rename = "shipmentSummary")]
    shipment_summary: Option<ShipmentSummary>,
}

#[derive(Deserialize, ToSchema)]
struct ShipmentSummary {
    /// `NONE`, `SOME` or `ALL`.
    #[serde(rename = "lineItemsSent")]
    #[schema(example = "NONE")]
    line_items_sent: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct Provider {
    id: Option<String>,
}

/// What became of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "outcome": "not_counted", "reason": "Allegro ships it from its own warehouse", "marked_remotely": true,
    "operations": [],
}))]
pub(crate) struct Processed {
    order_id: String,
    token_id: Option<Uuid>,
    /// `deducted`, `shortage`, `already_done`, `cancelled` or `not_counted`.
    #[schema(example = "deducted")]
    outcome: &'static str,
    /// Why it is no sale of ours, where it is none.
    reason: Option<&'static str>,
    /// Whether allegro-backup is told: only with an account.
    marked_remotely: bool,
    operations: Vec<OperationView>,
}

/// Makes the stock follow a submitted order: takes it, or brings it back when its fulfillment is cancelled. Doing it again moves
/// nothing more. Once an event of the order is known, its events decide.
#[utoipa::path(post, path = "/api/v1/orders/process", tag = "orders", operation_id = "process_order",
    request_body = WantedOrder,
    responses((status = 200, description = "What became of it", body = Processed),
              (status = 403, description = "not_of_one_user, without an account"),
              (status = 404, description = "account_not_found")))]
pub(crate) async fn process(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(wanted): ApiJson<WantedOrder>,
) -> Result<HttpResponse, Problem> {
    let view = read(&wanted, state.now())?;
    if view.token_id.is_none() {
        shop(&caller)?;
    }
    warehouses::ensure_default(&state).await.map_err(|error| Problem::database(&error))?;
    let answered = idempotent.run_with_effects(async |conn| {
        let view = OrderView { user_id: owner(conn, &caller, view.token_id).await?, ..view.clone() };
        let commands = [StockCommand::ApplyOrderState(view.clone())];
        let applied = ledger::apply(&state, conn, &commands).await;
        let (outcomes, after) = applied.map_err(|error| Problem::database(&error))?;
        let outcome = outcomes.into_iter().next();
        let found = operations::of_order(conn, &view.order_id, view.token_id).await;
        let found = found.map_err(|error| Problem::database(&error))?;
        let (outcome, reason) = words(outcome.unwrap_or(Outcome::AlreadyDone));
        let answer = Answer::ok(&Processed {
            order_id: view.order_id.to_string(),
            token_id: view.token_id.map(TokenId::as_uuid),
            outcome,
            reason,
            marked_remotely: view.token_id.is_some(),
            operations: found.into_iter().map(OperationView::from).collect(),
        })?;
        Ok((answer, after))
    });
    let (answer, after) = answered.await?;
    after.into_iter().for_each(AfterCommit::report);
    state.to_mark.notify_one();
    Ok(answer)
}

/// Whose order it is: its account's owner, who may be nobody else than the user a caller is bound to.
async fn owner(
    conn: &mut pg::Connection,
    caller: &Caller,
    token_id: Option<TokenId>,
) -> Result<Option<String>, Problem> {
    let Some(token_id) = token_id else { return Ok(None) };
    let owner = accounts::owner(conn, token_id).await.map_err(|error| Problem::database(&error))?;
    if caller.may_see(owner.as_deref()) { Ok(owner) } else { Err(Problem::new(&ACCOUNT_NOT_FOUND)) }
}

const fn words(outcome: Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Deducted => ("deducted", None),
        Outcome::Shortage => ("shortage", None),
        Outcome::AlreadyDone => ("already_done", None),
        Outcome::Cancelled => ("cancelled", None),
        Outcome::NotCounted(reason) => ("not_counted", Some(reason)),
    }
}

fn read(wanted: &WantedOrder, now: OffsetDateTime) -> Result<OrderView, Problem> {
    let mut errors = FieldErrors::default();
    let is_id = |text: &str| !text.trim().is_empty() && text.chars().count() <= 200 && !text.contains('\0');
    errors.check(is_id(&wanted.id), "/id", "invalid", "must be 1 to 200 characters");
    let is_ready = wanted.status.as_deref().is_none_or(|it| it == "READY_FOR_PROCESSING");
    errors.check(
        is_ready,
        "/status",
        "not_ready",
        "only an order that is READY_FOR_PROCESSING is taken from the stock",
    );
    errors.check(!wanted.line_items.is_empty(), "/lineItems", "empty", "must have a line");
    let mut lines = Vec::new();
    for (at, line) in wanted.line_items.iter().enumerate() {
        errors.check(
            is_id(&line.id),
            &format!("/lineItems/{at}/id"),
            "invalid",
            "must be 1 to 200 characters",
        );
        let quantity = Some(line.quantity).filter(|it| (1..=MOST_UNITS).contains(it));
        errors.check(
            quantity.is_some(),
            &format!("/lineItems/{at}/quantity"),
            "out_of_range",
            &format!("a line's quantity must be from 1 to {MOST_UNITS}"),
        );
        let text = line.offer.external.as_ref().and_then(|it| it.id.as_deref());
        let sku = text.map(Sku::parse).transpose().unwrap_or_else(|error| {
            errors.push(format!("/lineItems/{at}/offer/external/id"), "invalid_sku", error.to_string());
            None
        });
        lines.push(Line { line_item_id: line.id.clone(), sku, quantity });
    }
    let fulfillment = wanted.fulfillment.as_ref();
    let provider = fulfillment.and_then(|it| it.provider.as_ref()?.id.as_deref());
    let sent = fulfillment.and_then(|it| it.shipment_summary.as_ref()?.line_items_sent.as_deref());
    let view = OrderView {
        order_id: wanted.id.clone().into(),
        token_id: wanted.token_id,
        user_id: None,
        status: match fulfillment.and_then(|it| it.status.as_deref()) {
            Some("CANCELLED") => OrderStatus::Cancelled,
            Some("RETURNED") => OrderStatus::Returned,
            _ => OrderStatus::Ready,
        },
        sequence: None,
        read_at: Some(now),
        first_stored_at: None,
        ready_at: wanted.line_items.iter().filter_map(|it| it.bought_at).max(),
        was_shipped: matches!(sent, Some("SOME" | "ALL")),
        is_fulfilled_by_allegro: is_allegro(provider),
        is_first_returned: false,
        is_out: false,
        lines,
    };
    if let Err(SameLine(at)) = view.check() {
        errors.push(format!("/lineItems/{at}/id"), "duplicate", SameLine(at).to_string());
    }
    errors.finish()?;
    Ok(view)
}
