//! The list of orders: filters, sorting, and the limit of 10,000.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::api::{admit, list_of, number, query};
use crate::answer;
use crate::world::World;
use crate::world::clock::micros;
use crate::world::orders::{Order, Seller};

/// Allegro shows nothing deeper in a list.
const MAX_DEPTH: usize = 10_000;
/// Allegro lists the last twelve months.
const LIST_LIFE: Duration = Duration::days(365);

/// A list request, read.
struct Wanted {
    offset: usize,
    limit: usize,
    status: Vec<String>,
    fulfillment: Vec<String>,
    buyer: Option<String>,
    bought: (i64, i64),
    updated: (i64, i64),
    by_updated: bool,
    descending: bool,
}

fn invalid<T>(name: &str, text: &str) -> Result<T, Box<HttpResponse>> {
    Err(Box::new(answer::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", text, Some(name))))
}

fn read(query: &[(String, String)]) -> Result<Wanted, Box<HttpResponse>> {
    let all = |wanted: &str| -> Vec<String> {
        query.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect()
    };
    let moment = |name: &str, default: i64| match all(name).first() {
        None => Ok(default),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .map(micros)
            .or_else(|_not_a_moment| invalid(name, "must be an ISO 8601 date and time")),
    };
    let oldest = micros(OffsetDateTime::now_utc() - LIST_LIFE);
    let sort = all("sort").first().cloned().unwrap_or_else(|| "-lineItems.boughtAt".to_owned());
    let (descending, key) = match sort.strip_prefix('-') {
        Some(key) => (true, key),
        None => (false, sort.as_str()),
    };
    if !["lineItems.boughtAt", "updatedAt"].contains(&key) {
        return invalid("sort", "must be lineItems.boughtAt or updatedAt, with or without a leading -");
    }
    let offset = number(query, "offset", 0, usize::MAX)?;
    let limit = number(query, "limit", 100, 100)?;
    if offset.saturating_add(limit) > MAX_DEPTH {
        let text = "Offset and limit parameters exceed maximal result size of 10000 items";
        return invalid("offset", text);
    }
    Ok(Wanted {
        offset,
        limit,
        status: all("status"),
        fulfillment: all("fulfillment.status"),
        buyer: all("buyer.login").into_iter().next(),
        bought: (
            moment("lineItems.boughtAt.gte", i64::MIN)?.max(oldest),
            moment("lineItems.boughtAt.lte", i64::MAX)?,
        ),
        updated: (moment("updatedAt.gte", i64::MIN)?, moment("updatedAt.lte", i64::MAX)?),
        by_updated: key == "updatedAt",
        descending,
    })
}

impl Wanted {
    fn matches(&self, order: &Order) -> bool {
        let within = |at: OffsetDateTime, (from, to): (i64, i64)| (from..=to).contains(&micros(at));
        (self.status.is_empty() || self.status.contains(&order.status))
            && (self.fulfillment.is_empty() || self.fulfillment.contains(&order.fulfillment))
            && self.buyer.as_ref().is_none_or(|login| *login == order.buyer_login)
            && within(order.bought_at, self.bought)
            && within(order.updated_at, self.updated)
    }

    /// The page's bodies, and how many orders match in all.
    fn page(&self, seller: &Seller) -> (Vec<Bytes>, usize) {
        let (index, (from, to)): (&BTreeSet<(i64, usize)>, _) = if self.by_updated {
            (&seller.by_updated, self.updated)
        } else {
            (&seller.by_bought, self.bought)
        };
        if from > to {
            return (Vec::new(), 0);
        }
        let range = index.range((from, usize::MIN)..=(to, usize::MAX));
        let matching: Vec<&Order> =
            range.filter_map(|(_, at)| seller.orders.get(*at)).filter(|order| self.matches(order)).collect();
        let body = |order: &&Order| order.body.clone();
        let bodies = if self.descending {
            matching.iter().rev().skip(self.offset).take(self.limit).map(body).collect()
        } else {
            matching.iter().skip(self.offset).take(self.limit).map(body).collect()
        };
        (bodies, matching.len())
    }
}

pub(crate) async fn list(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world));
    let wanted = given!(read(&query(&request)));
    let state = world.lock();
    let (bodies, total) = state.seller(Some(&seller)).map(|seller| wanted.page(seller)).unwrap_or_default();
    drop(state);
    let tail = format!("],\"count\":{},\"totalCount\":{total}}}", bodies.len());
    answer::resource(list_of("{\"checkoutForms\":[", &bodies, &tail))
}
