//! The list of orders: filters, sorting, and the limit of 10,000.

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use domain::Instant;
use rand::Rng;
use serde_json::Value;
use time::OffsetDateTime;

use super::admit::{ORDERS_READ, admit};
use super::query::{Query, list_of};
use crate::answer;
use crate::world::World;
use crate::world::clock::{micros, seconds};
use crate::world::orders::{Order, Seller};
use crate::world::rules::ListRules;

const STATUSES: [&str; 4] = ["BOUGHT", "FILLED_IN", "READY_FOR_PROCESSING", "CANCELLED"];
const FULFILLMENTS: [&str; 9] = [
    "NEW",
    "PROCESSING",
    "READY_FOR_SHIPMENT",
    "READY_FOR_PICKUP",
    "SENT",
    "PICKED_UP",
    "CANCELLED",
    "SUSPENDED",
    "RETURNED",
];
/// Filters that are used so rarely that the content is parsed for them: the parameter, and the pointer to its value.
const INSIDE: [(&str, &str); 5] = [
    ("fulfillment.provider.id", "/fulfillment/provider/id"),
    ("fulfillment.shipmentSummary.lineItemsSent", "/fulfillment/shipmentSummary/lineItemsSent"),
    ("payment.id", "/payment/id"),
    ("delivery.method.id", "/delivery/method/id"),
    ("marketplace.id", "/marketplace/id"),
];

/// A parsed list request.
struct ListRequest {
    offset: usize,
    limit: usize,
    status: Vec<String>,
    fulfillment: Vec<String>,
    buyer: Option<String>,
    inside: Vec<(&'static str, Vec<String>)>,
    surcharges: Vec<String>,
    bought: (i64, i64),
    updated: (i64, i64),
    /// Newer orders are not listed yet.
    until: Option<OffsetDateTime>,
    by_updated: bool,
    descending: bool,
}

fn invalid<T>(name: &str, text: &str) -> Result<T, Box<HttpResponse>> {
    Err(Box::new(answer::invalid(text, name)))
}

fn owned(values: Vec<&str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

fn read(query: &Query, rules: &ListRules, now: OffsetDateTime) -> Result<ListRequest, Box<HttpResponse>> {
    let moment = |name: &str, default: i64| match query.first(name) {
        None => Ok(default),
        Some(text) => match text.parse::<Instant>() {
            Ok(at) => Ok(micros(at.into())),
            Err(_not_a_moment) => invalid(name, "must be an ISO 8601 date and time"),
        },
    };
    let one_of = |name: &str, known: &[&str]| {
        let given = query.all(name);
        if given.iter().any(|it| !known.contains(it)) {
            return invalid(name, &format!("must be one of {}", known.join(", ")));
        }
        Ok(owned(given))
    };
    let sort = query.first("sort").unwrap_or("-lineItems.boughtAt");
    let (descending, key) = match sort.strip_prefix('-') {
        Some(key) => (true, key),
        None => (false, sort),
    };
    if !["lineItems.boughtAt", "updatedAt"].contains(&key) {
        return invalid("sort", "must be lineItems.boughtAt or updatedAt, with or without a leading -");
    }
    let offset = query.number("offset", 0, (0, usize::MAX), rules.bad_number_status)?;
    let limit = query.number("limit", rules.page.min(100), (1, rules.page), rules.bad_number_status)?;
    if offset.saturating_add(limit) > rules.depth {
        let text = format!("Offset and limit parameters exceed maximal result size of {} items", rules.depth);
        return invalid("/order/checkout-forms", &text);
    }
    let oldest = micros(now.saturating_sub(seconds(rules.days * 86_400)));
    let inside = INSIDE.iter().map(|(name, pointer)| (*pointer, owned(query.all(name))));
    Ok(ListRequest {
        offset,
        limit,
        status: one_of("status", &STATUSES)?,
        fulfillment: one_of("fulfillment.status", &FULFILLMENTS)?,
        buyer: query.first("buyer.login").map(str::to_owned),
        inside: inside.filter(|(_, values)| !values.is_empty()).collect(),
        surcharges: owned(query.all("surcharges.id")),
        bought: (
            moment("lineItems.boughtAt.gte", i64::MIN)?.max(oldest),
            moment("lineItems.boughtAt.lte", i64::MAX)?,
        ),
        updated: (moment("updatedAt.gte", i64::MIN)?, moment("updatedAt.lte", i64::MAX)?),
        until: (rules.lag_seconds > 0).then(|| now.saturating_sub(seconds(rules.lag_seconds))),
        by_updated: key == "updatedAt",
        descending,
    })
}

impl ListRequest {
    /// Whether the range of times alone determines the matching orders.
    fn is_span_only(&self) -> bool {
        let other = if self.by_updated { self.bought } else { self.updated };
        self.status.is_empty()
            && self.fulfillment.is_empty()
            && self.buyer.is_none()
            && self.inside.is_empty()
            && self.surcharges.is_empty()
            && self.until.is_none()
            && other == (i64::MIN, i64::MAX)
    }

    fn matches(&self, order: &Order) -> bool {
        let within = |at: OffsetDateTime, (from, to): (i64, i64)| (from..=to).contains(&micros(at));
        (self.status.is_empty() || self.status.contains(&order.status))
            && (self.fulfillment.is_empty() || self.fulfillment.contains(&order.fulfillment))
            && self.buyer.as_ref().is_none_or(|login| *login == order.buyer_login)
            && self.until.is_none_or(|until| order.since <= until)
            && within(order.bought_at, self.bought)
            && within(order.updated_at, self.updated)
            && self.matches_inside(order)
    }

    fn matches_inside(&self, order: &Order) -> bool {
        if self.inside.is_empty() && self.surcharges.is_empty() {
            return true;
        }
        let form = order.form();
        let is_in = |value: Option<&Value>, allowed: &[String]| {
            value.and_then(Value::as_str).is_some_and(|value| allowed.iter().any(|it| it == value))
        };
        let surcharges = form.get("surcharges").and_then(Value::as_array).map(Vec::as_slice);
        self.inside.iter().all(|(pointer, allowed)| is_in(form.pointer(pointer), allowed))
            && (self.surcharges.is_empty()
                || surcharges.unwrap_or_default().iter().any(|it| is_in(it.get("id"), &self.surcharges)))
    }

    /// The page's bodies, and the number of all matching orders.
    fn page(&self, seller: &Seller) -> (Vec<Bytes>, usize) {
        let (index, span) = if self.by_updated {
            (&seller.by_updated, self.updated)
        } else {
            (&seller.by_bought, self.bought)
        };
        let in_span = index.span(span);
        let matching: Vec<(i64, usize)>;
        let all = if self.is_span_only() {
            in_span
        } else {
            let matches = |at: usize| seller.orders.get(at).is_some_and(|order| self.matches(order));
            matching = in_span.iter().copied().filter(|(_, at)| matches(*at)).collect();
            &matching
        };
        let body = |(_, at): &(i64, usize)| seller.orders.get(*at).map(|order| order.body.clone());
        let bodies = if self.descending {
            all.iter().rev().skip(self.offset).take(self.limit).filter_map(body).collect()
        } else {
            all.iter().skip(self.offset).take(self.limit).filter_map(body).collect()
        };
        (bodies, all.len())
    }
}

pub(crate) async fn list(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let id = given!(admit(&request, &world, ORDERS_READ));
    let mut state = world.lock();
    let now = state.now();
    let list = given!(read(&Query::of(&request), &state.rules.list, now));
    let (mut bodies, total) = state.seller(Some(&id)).map(|seller| list.page(seller)).unwrap_or_default();
    let hole_rate = state.rules.list.hole_rate;
    // Observed in 2020 and 2026: an empty page in the middle of a list.
    let is_hole = hole_rate > 0.0
        && state.seller_mut(Some(&id)).is_some_and(|(_, pen)| pen.random.random_bool(hole_rate));
    drop(state);
    if is_hole {
        bodies.clear();
    }
    let tail = format!("],\"count\":{},\"totalCount\":{total}}}", bodies.len());
    answer::resource(list_of("{\"checkoutForms\":[", &bodies, &tail))
}
