//! Client of `allegro-backup`.

use std::time::Duration;

use domain::events::LineItem;
use domain::{AllegroOrderId, TokenId};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::Error;

const SERVICE: &str = "allegro-backup";

/// Client of `allegro-backup`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AllegroBackup {
    http: Client,
    url: Url,
    key: SecretString,
}

impl AllegroBackup {
    /// Time limit of a request, including the last byte of its answer.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// A client of the service at `url`, authenticated by an API key.
    ///
    /// # Errors
    /// The TLS roots cannot be loaded.
    pub fn new(url: Url, key: SecretString, asker: &str) -> Result<Self, egress::Error> {
        let http = egress::client(&egress::Settings {
            user_agent: format!("zaplecze-{asker}/{}", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(3),
            timeout: Self::TIMEOUT,
        })?;
        Ok(Self { http, url, key })
    }

    /// Sets or clears an order's stock flag. Repeating it has no effect.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when the account has no such order.
    pub async fn set_stock_updated(
        &self,
        token_id: TokenId,
        order_id: &AllegroOrderId,
        is_stock_updated: bool,
    ) -> Result<(), Error> {
        let segments = ["api", "v1", "orders", &token_id.to_string(), order_id.as_str(), "stock-status"];
        let body = json!({ "is_stock_updated": is_stock_updated });
        self.send(self.request(Method::PATCH, &segments)?.json(&body)).await?;
        Ok(())
    }

    /// A page of an account's orders, newest first, bought since `from`. `cursor` is the position after the previous
    /// page.
    ///
    /// # Errors
    /// As [`Self::set_stock_updated`]. An unknown account has no orders.
    pub async fn orders(
        &self,
        account: (&str, TokenId),
        from: OffsetDateTime,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<StoredOrders, Error> {
        let (user_id, token_id) = account;
        let from = from.format(&Rfc3339).map_err(|error| Error::unreadable(SERVICE, &error))?;
        let mut query =
            vec![("token_id", token_id.to_string()), ("from", from), ("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        let request = self.request(Method::GET, &["api", "v1", "orders", user_id])?.query(&query);
        self.read(request).await
    }

    /// One order of an account.
    ///
    /// # Errors
    /// As [`Self::set_stock_updated`].
    pub async fn order(
        &self,
        account: (&str, TokenId),
        order_id: &AllegroOrderId,
    ) -> Result<StoredOrder, Error> {
        let (user_id, token_id) = account;
        let request = self.request(Method::GET, &["api", "v1", "orders", user_id, order_id.as_str()])?;
        self.read(request.query(&[("token_id", token_id.to_string())])).await
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let answer = self.send(request).await?;
        let body = answer.bytes().await.map_err(|error| Error::network(SERVICE, &error))?;
        serde_json::from_slice(&body).map_err(|error| Error::unreadable(SERVICE, &error))
    }

    fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, Error> {
        let mut url = self.url.clone();
        let unavailable =
            || Error::Unavailable { service: SERVICE, reason: "its address takes no paths".to_owned() };
        url.path_segments_mut().map_err(|()| unavailable())?.pop_if_empty().extend(segments);
        Ok(self.http.request(method, url).header("X-API-Key", self.key.expose_secret()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let sent = egress::traced(request).send().await;
        let response = sent.map_err(|error| Error::network(SERVICE, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::read(SERVICE, response).await)
    }
}

/// A page of orders.
#[derive(Debug, Clone, Deserialize)]
pub struct StoredOrders {
    /// Newest first.
    pub items: Vec<StoredOrder>,
    /// Cursor of the next page. `None` on the last page.
    pub next_cursor: Option<String>,
}

/// An order of `allegro-backup`. Its other fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct StoredOrder {
    /// Allegro's id of the order.
    pub allegro_order_id: AllegroOrderId,
    /// Allegro's form status. Absent when it is unreadable.
    pub status: Option<String>,
    /// The seller's status, if there is one.
    pub fulfillment_status: Option<String>,
    /// `SELLER` or `ALLEGRO`.
    pub fulfillment_provider: Option<String>,
    /// Our version of the order; it grows with each content.
    #[serde(default)]
    pub version: Option<i64>,
    /// When it became ready for processing.
    #[serde(default, with = "domain::instant::option")]
    pub ready_at: Option<OffsetDateTime>,
    /// True when it was sent, picked up or partly sent since it last became ready.
    #[serde(default)]
    pub was_shipped: bool,
    /// When its content was requested from Allegro.
    #[serde(default, with = "domain::instant::option")]
    pub read_at: Option<OffsetDateTime>,
    /// When it was first stored for this account.
    #[serde(default, with = "domain::instant::option")]
    pub first_stored_at: Option<OffsetDateTime>,
    /// The order that replaced it.
    #[serde(default)]
    pub merged_into: Option<AllegroOrderId>,
    /// When it was bought.
    #[serde(with = "domain::instant")]
    pub order_date: OffsetDateTime,
    /// The order's lines.
    pub line_items: Vec<LineItem>,
    /// Whether Allegro no longer has the order.
    pub is_deleted: bool,
    /// The stock flag: whether its units were deducted.
    pub is_stock_updated: bool,
}
