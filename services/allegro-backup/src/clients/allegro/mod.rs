//! Allegro's two hosts: OAuth and API.
//!
//! GET is tried again when Allegro or the network stumbles; nothing else is. A 429 makes every replica with this
//! client id pause for a minute at least, as calling during a block lengthens it.

mod claims;
mod error;
mod pause;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use domain::backoff;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::domain::journal::Event;

pub(crate) use claims::Claims;
pub(crate) use error::AllegroError;
pub(crate) use pause::Pause;
pub(crate) use wire::{DeviceCode, Me, OrderPage, TokenPair};

/// Allegro's media type; anything else is refused with 406.
const MEDIA_TYPE: &str = "application/vnd.allegro.public.v1+json";
/// Tries of one GET.
const TRIES: u32 = 3;
/// The device grant (RFC 8628 §3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Half of this fits twice into the lease of a refresh.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// A request for tokens takes no longer, its wait for a place within the limits included.
pub(crate) const TOKEN_REQUEST_TIME: Duration = Duration::from_secs(11);

/// Who we are at Allegro, and where Allegro is.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    /// The API's origin.
    pub(crate) api_url: Url,
    /// The OAuth host's origin.
    pub(crate) auth_url: Url,
    /// The application's id.
    pub(crate) client_id: String,
    /// The application's secret.
    pub(crate) client_secret: SecretString,
}

/// A client of Allegro. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AllegroClient {
    http: reqwest::Client,
    application: Application,
    pause: Pause,
}

/// Which orders of the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Bought at this moment or later.
    pub(crate) from: OffsetDateTime,
    /// Bought at this moment or earlier.
    pub(crate) to: OffsetDateTime,
}

impl AllegroClient {
    /// A client over a prepared HTTP client.
    pub(crate) const fn new(http: reqwest::Client, application: Application, pause: Pause) -> Self {
        Self { http, application, pause }
    }

    /// Who we are at Allegro.
    pub(crate) fn client_id(&self) -> &str {
        &self.application.client_id
    }

    /// Begins a device flow (RFC 8628 §3.1).
    ///
    /// # Errors
    /// When Allegro refuses the application or cannot be reached.
    pub(crate) async fn begin_device_flow(&self) -> Result<DeviceCode, AllegroError> {
        let form = [("client_id", self.application.client_id.as_str())];
        self.token_request("auth/oauth/device", &form).await
    }

    /// Asks once whether a person has let us in.
    ///
    /// # Errors
    /// [`AllegroError::OAuth`] with the error's code while and when they have not.
    pub(crate) async fn poll_device_code(
        &self,
        device_code: &SecretString,
    ) -> Result<TokenPair, AllegroError> {
        let form = [("grant_type", DEVICE_GRANT), ("device_code", device_code.expose_secret())];
        self.token_request("auth/oauth/token", &form).await
    }

    /// Trades a refresh token for a new pair; the old access token is dead at once.
    ///
    /// # Errors
    /// [`AllegroError::OAuth`] `invalid_grant` when the token is no longer good.
    pub(crate) async fn refresh(&self, refresh_token: &SecretString) -> Result<TokenPair, AllegroError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        self.token_request("auth/oauth/token", &form).await
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn me(&self, token: &SecretString) -> Result<Me, AllegroError> {
        read(&self.get(token, "me", &[]).await?)
    }

    /// The id of the journal's latest event, if there is any.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn latest_event(&self, token: &SecretString) -> Result<Option<String>, AllegroError> {
        let stats: wire::EventStats = read(&self.get(token, "order/event-stats", &[]).await?)?;
        Ok(stats.latest_event.map(|event| event.id))
    }

    /// Events after `from` (an event id, exclusive), oldest first.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn events(
        &self,
        token: &SecretString,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Event>, AllegroError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(from.map(|from| ("from", from.to_owned())));
        let page: wire::EventPage = read(&self.get(token, "order/events", &query).await?)?;
        page.events.iter().map(|raw| Event::read(raw)).collect()
    }

    /// One page of a window of the list, by date of purchase, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn orders(
        &self,
        token: &SecretString,
        window: Window,
        offset: i64,
        limit: usize,
    ) -> Result<OrderPage, AllegroError> {
        let moment = |at: OffsetDateTime| at.format(&Rfc3339).map_err(|_unwritable| AllegroError::Malformed);
        let query = [
            ("sort", "lineItems.boughtAt".to_owned()),
            ("lineItems.boughtAt.gte", moment(window.from)?),
            ("lineItems.boughtAt.lte", moment(window.to)?),
            ("offset", offset.to_string()),
            ("limit", limit.to_string()),
        ];
        read(&self.get(token, "order/checkout-forms", &query).await?)
    }

    /// One order, as it was sent.
    ///
    /// # Errors
    /// [`AllegroError::NotFound`] for an order that was merged, is too old, or is another account's.
    pub(crate) async fn order(&self, token: &SecretString, id: &str) -> Result<Box<RawValue>, AllegroError> {
        let mut url = self.url("order/checkout-forms")?;
        url.path_segments_mut().map_err(|()| AllegroError::Malformed)?.push(id);
        read(&self.get_url(token, url).await?)
    }

    fn url(&self, path: &str) -> Result<Url, AllegroError> {
        self.application.api_url.join(path).map_err(|_malformed| AllegroError::Malformed)
    }

    async fn get(
        &self,
        token: &SecretString,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Bytes, AllegroError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.get_url(token, url).await
    }

    async fn get_url(&self, token: &SecretString, url: Url) -> Result<Bytes, AllegroError> {
        let request =
            || self.http.get(url.clone()).bearer_auth(token.expose_secret()).header(ACCEPT, MEDIA_TYPE);
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(request()).await {
                Err(AllegroError::Unavailable { network, .. }) if tried < TRIES => {
                    // A broken connection is tried again at once, then both kinds back off.
                    let waits = if network { tried - 1 } else { tried };
                    if waits > 0 {
                        let pause =
                            backoff::exponential(Duration::from_millis(500), waits, Duration::from_secs(4));
                        tokio::time::sleep(pause).await;
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn token_request<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, AllegroError> {
        let url = self.application.auth_url.join(path).map_err(|_malformed| AllegroError::Malformed)?;
        let Application { client_id, client_secret, .. } = &self.application;
        let request =
            self.http.post(url).basic_auth(client_id, Some(client_secret.expose_secret())).form(form);
        read(&self.once(request).await?)
    }

    async fn once(&self, request: RequestBuilder) -> Result<Bytes, AllegroError> {
        if let Some(remaining) = self.pause.remaining().await {
            return Err(AllegroError::Paused(remaining));
        }
        let response = egress::traced(request).send().await.map_err(|error| AllegroError::network(&error))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let path = response.url().path().to_owned();
            let wait = self.pause.begin().await;
            tracing::warn!(path, wait_seconds = wait.as_secs(), "Allegro's limit was met; all calls pause");
            return Err(AllegroError::Paused(wait));
        }
        let is_json = is_json(&response);
        let body = response.bytes().await.map_err(|error| AllegroError::network(&error))?;
        if status.is_success() {
            return if is_json { Ok(body) } else { Err(AllegroError::Malformed) };
        }
        Err(AllegroError::refused(status, is_json.then_some(&*body)))
    }
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.contains("json"))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AllegroError> {
    serde_json::from_slice(body).map_err(|_not_as_documented| AllegroError::Malformed)
}
