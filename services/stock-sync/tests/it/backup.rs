//! An allegro-backup that can be told to fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::events::OrderEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wiremock::{Request, Respond, ResponseTemplate};

use crate::support::token;

/// An API key's shape; what stands in it is nobody's.
pub(crate) const KEY: &str = "zk_stock_0123456789abcdef0123456789abcdef";

/// What allegro-backup keeps and was told, and how it answers.
#[derive(Clone, Default)]
pub(crate) struct Backup(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// The marks in the order they came, by path.
    marks: HashMap<String, Vec<bool>>,
    /// Orders it keeps, newest first.
    orders: Vec<Value>,
    /// Pages of orders it was asked for.
    pages: usize,
    /// The status of the answer; 200 unless told otherwise.
    status: Option<u16>,
    /// How long it takes to fail.
    delay: Duration,
    /// Pages after this one take longer than anybody waits.
    last_page: Option<usize>,
}

impl Respond for Backup {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut told = self.0.lock().unwrap();
        if let Some(status) = told.status {
            return ResponseTemplate::new(status)
                .set_body_json(json!({ "code": "as_told", "detail": "as told" }))
                .set_delay(told.delay);
        }
        assert_eq!(request.headers["x-api-key"], KEY);
        let segments: Vec<&str> = request.url.path_segments().unwrap().collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("PATCH", ["api", "v1", "orders", _, order, "stock-status"]) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let mark = body["is_stock_updated"].as_bool().unwrap();
                told.marks.entry(request.url.path().to_owned()).or_default().push(mark);
                let kept = told.orders.iter_mut().find(|it| it["allegro_order_id"] == *order);
                if let Some(kept) = kept {
                    kept["is_stock_updated"] = json!(mark);
                }
                ResponseTemplate::new(200).set_body_json(json!({}))
            }
            ("GET", ["api", "v1", "orders", "sklep"]) => {
                let asked: HashMap<_, _> = request.url.query_pairs().collect();
                let limit: usize = asked["limit"].parse().unwrap();
                let from: usize = asked.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
                let since = OffsetDateTime::parse(&asked["from"], &Rfc3339).unwrap();
                let is_in = |it: &&Value| {
                    OffsetDateTime::parse(it["order_date"].as_str().unwrap(), &Rfc3339).unwrap() >= since
                };
                let all: Vec<&Value> = told.orders.iter().filter(is_in).collect();
                let items: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
                let next = (from + limit < all.len()).then(|| (from + limit).to_string());
                let page = json!({ "items": items, "next_cursor": next });
                told.pages += 1;
                let is_late = told.last_page.is_some_and(|last| told.pages > last);
                let delay = if is_late { Duration::from_secs(30) } else { Duration::ZERO };
                ResponseTemplate::new(200).set_body_json(page).set_delay(delay)
            }
            ("GET", ["api", "v1", "orders", "sklep", order]) => {
                match told.orders.iter().find(|it| it["allegro_order_id"] == *order) {
                    Some(found) => ResponseTemplate::new(200).set_body_json(found),
                    None => ResponseTemplate::new(404).set_body_json(json!({ "code": "order_not_found" })),
                }
            }
            other => panic!("allegro-backup was asked for {other:?}"),
        }
    }
}

impl Backup {
    /// Answers with this status from now on; normally again with none.
    pub(crate) fn fail_with(&self, status: Option<u16>) {
        self.0.lock().unwrap().status = status;
    }

    /// Fails with this status from now on, so late.
    pub(crate) fn fail_late(&self, status: u16, delay: Duration) {
        let mut told = self.0.lock().unwrap();
        (told.status, told.delay) = (Some(status), delay);
    }

    /// Answers for so many pages of orders from now on, and not for the next; for all with none.
    pub(crate) fn stop_after_pages(&self, pages: Option<usize>) {
        let mut told = self.0.lock().unwrap();
        told.last_page = pages.map(|pages| told.pages + pages);
    }

    /// The marks of an order as they came.
    pub(crate) fn marks(&self, order: &str) -> Vec<bool> {
        let path = format!("/api/v1/orders/{}/{order}/stock-status", token());
        self.0.lock().unwrap().marks.get(&path).cloned().unwrap_or_default()
    }

    /// Keeps an order.
    pub(crate) fn keep(&self, order: &OrderEvent, is_marked: bool) {
        self.0.lock().unwrap().orders.push(kept(order, is_marked));
    }

    /// Keeps an order as it is now.
    pub(crate) fn replace(&self, order: &OrderEvent, is_marked: bool) {
        let mut told = self.0.lock().unwrap();
        told.orders.retain(|it| it["allegro_order_id"] != json!(order.order_id));
        told.orders.push(kept(order, is_marked));
    }

    /// Says something else of whether an order is taken, as only a fault could.
    pub(crate) fn mark(&self, order: &str, is_marked: bool) {
        let mut told = self.0.lock().unwrap();
        let kept = told.orders.iter_mut().find(|it| it["allegro_order_id"] == order).unwrap();
        kept["is_stock_updated"] = json!(is_marked);
    }

    /// Whether an order counts as taken.
    pub(crate) fn is_marked(&self, order: &str) -> bool {
        let told = self.0.lock().unwrap();
        let kept = told.orders.iter().find(|it| it["allegro_order_id"] == order).unwrap();
        kept["is_stock_updated"].as_bool().unwrap()
    }

    /// Pages of orders it was asked for.
    pub(crate) fn pages(&self) -> usize {
        self.0.lock().unwrap().pages
    }
}

/// An order as allegro-backup shows it.
fn kept(order: &OrderEvent, is_marked: bool) -> Value {
    let at = |moment: Option<OffsetDateTime>| moment.map(|it| it.format(&Rfc3339).unwrap());
    json!({
        "allegro_order_id": order.order_id, "status": order.status, "fulfillment_status": order.fulfillment_status,
        "fulfillment_provider": order.fulfillment_provider, "order_date": at(order.order_date),
        "line_items": order.line_items, "is_deleted": false, "is_stock_updated": is_marked, "buyer_login": "not read",
        "version": order.version, "ready_at": at(order.ready_at), "was_shipped": order.was_shipped,
        "read_at": at(order.read_at), "first_stored_at": at(order.first_stored_at), "merged_into": order.merged_into,
    })
}
