//! Allegro's two hosts: OAuth and API.
//!
//! A GET is tried again when Allegro or the network fails; nothing else is. After a 429 the account pauses in every replica
//! for at least a minute, because calls during a block lengthen it.

mod claims;
mod error;
mod head;
mod limits;
mod oauth;
mod pause;
mod reach;
mod route;
mod send;
mod user_agent;
mod wire;

use std::time::Duration;

use domain::{backoff, catch_panic};
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::reach::Reach;
use self::route::Route;
use self::send::Answered;
use crate::domain::journal::Event;

pub(crate) use claims::Claims;
pub(crate) use error::AllegroError;
pub(crate) use limits::{Limits, Quotas};
pub(crate) use oauth::TOKEN_REQUEST_TIME;
pub(crate) use pause::{Halt, Pause, Scope, Subject};
pub(crate) use user_agent::UserAgent;
pub(crate) use wire::{DeviceCode, Me, OrderPage, TokenPair};

/// Allegro's media type; anything else is refused with 406.
const MEDIA_TYPE: &str = "application/vnd.allegro.public.v1+json";
/// Tries of one GET.
const TRIES: u32 = 3;
/// How long a request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a request waits for its place within the limits.
const PATIENCE: Duration = Duration::from_secs(10);
/// A `Retry-After` longer than this is not waited for between two tries.
const SHORT: Duration = Duration::from_secs(4);

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
    limits: Limits,
    reach: Reach,
}

/// An access token, and on whose behalf it is used.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// Whose limits apply.
    pub(crate) subject: Subject,
    /// The token.
    pub(crate) token: SecretString,
}

impl Bearer {
    /// The token of an account that is not connected yet.
    pub(crate) const fn unconnected(token: SecretString) -> Self {
        Self { subject: Subject::Application, token }
    }
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
    pub(crate) fn new(http: reqwest::Client, application: Application, pause: Pause, limits: Limits) -> Self {
        Self { http, application, pause, limits, reach: Reach::default() }
    }

    /// Who we are at Allegro.
    pub(crate) fn client_id(&self) -> &str {
        &self.application.client_id
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn me(&self, bearer: &Bearer) -> Result<Me, AllegroError> {
        self.get(Route::Me, bearer, "me", &[]).await
    }

    /// The id of the journal's latest event, if there is any.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn latest_event(&self, bearer: &Bearer) -> Result<Option<String>, AllegroError> {
        let stats: wire::EventStats = self.get(Route::EventStats, bearer, "order/event-stats", &[]).await?;
        Ok(stats.latest_event.map(|event| event.id))
    }

    /// Events after `from` (an event id, exclusive), oldest first.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn events(
        &self,
        bearer: &Bearer,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Event>, AllegroError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(from.map(|from| ("from", from.to_owned())));
        let page: wire::EventPage = self.get(Route::Events, bearer, "order/events", &query).await?;
        page.events.iter().map(|raw| Event::read(raw)).collect()
    }

    /// One page of a window of the list, by date of purchase, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub(crate) async fn orders(
        &self,
        bearer: &Bearer,
        window: Window,
        offset: i64,
        limit: usize,
    ) -> Result<OrderPage, AllegroError> {
        let moment =
            |at: OffsetDateTime| at.format(&Rfc3339).map_err(|_unwritable| AllegroError::malformed());
        let query = [
            ("sort", "lineItems.boughtAt".to_owned()),
            ("lineItems.boughtAt.gte", moment(window.from)?),
            ("lineItems.boughtAt.lte", moment(window.to)?),
            ("offset", offset.to_string()),
            ("limit", limit.to_string()),
        ];
        self.get(Route::Orders, bearer, "order/checkout-forms", &query).await
    }

    /// One order, as it was sent.
    ///
    /// # Errors
    /// [`AllegroError::NotFound`] for an order that was merged, is too old, or is another account's.
    pub(crate) async fn order(&self, bearer: &Bearer, id: &str) -> Result<Box<RawValue>, AllegroError> {
        let mut url = self.url("order/checkout-forms")?;
        url.path_segments_mut().map_err(|()| AllegroError::malformed())?.push(id);
        self.get_url(Route::Order, bearer, url).await
    }

    fn url(&self, path: &str) -> Result<Url, AllegroError> {
        self.application.api_url.join(path).map_err(|_malformed| AllegroError::malformed())
    }

    /// Whether Allegro has answered lately, as far as this replica knows.
    ///
    /// # Errors
    /// [`AllegroError::Unavailable`] when the latest request had no answer.
    pub(crate) fn reachable(&self) -> Result<(), AllegroError> {
        if self.reach.is_up() {
            return Ok(());
        }
        let text = "the latest request had no answer".to_owned();
        Err(AllegroError::Unavailable { network: true, text, retry_after: None })
    }

    /// Keeps [`AllegroClient::reachable`] true to life until `stop`: when nothing else was asked for a while, Allegro is
    /// asked for nothing in particular; any answer will do.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = self.reach.look_again_in();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if self.reach.is_news_for().is_zero() {
                let request = self.http.get(self.application.api_url.clone()).header(ACCEPT, MEDIA_TYPE);
                // What it answers is of no interest, and whether it does is remembered by the sending. During a pause it
                // is not asked: it has answered 429.
                let asked =
                    catch_panic(self.once(Route::Probe, Subject::Application, request, PATIENCE)).await;
                if let Ok(Err(AllegroError::Paused(_))) = asked {
                    self.reach.saw(true);
                }
            }
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        route: Route,
        bearer: &Bearer,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, AllegroError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.get_url(route, bearer, url).await
    }

    async fn get_url<T: DeserializeOwned>(
        &self,
        route: Route,
        bearer: &Bearer,
        url: Url,
    ) -> Result<T, AllegroError> {
        let request = || {
            self.http.get(url.clone()).bearer_auth(bearer.token.expose_secret()).header(ACCEPT, MEDIA_TYPE)
        };
        let mut tried = 0;
        loop {
            tried += 1;
            let answered =
                self.once(route, bearer.subject, request(), PATIENCE).await.and_then(
                    |answered| match answered {
                        Answered::Success(body) => read(route, &body),
                        Answered::Refusal { status, json, trace } => {
                            Err(AllegroError::refused(status, json.as_deref(), &trace))
                        }
                    },
                );
            match answered {
                Err(AllegroError::Unavailable { network, retry_after, .. })
                    if tried < TRIES && retry_after.is_none_or(|wait| wait <= SHORT) =>
                {
                    // A broken connection is tried again at once, then both kinds back off.
                    let waits = if network { tried - 1 } else { tried };
                    let pause = match waits {
                        0 => Duration::ZERO,
                        _ => backoff::exponential(Duration::from_millis(500), waits, SHORT),
                    };
                    tokio::time::sleep(pause.max(retry_after.unwrap_or_default())).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// Reads an answer. One that ends too early was cut off on its way, though it was framed as if it were whole.
fn read<T: DeserializeOwned>(route: Route, body: &[u8]) -> Result<T, AllegroError> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            let text = "its answer is cut off".to_owned();
            return AllegroError::Unavailable { network: true, text, retry_after: None };
        }
        let (line, column) = (error.line(), error.column());
        tracing::warn!(route = route.label(), line, column, "an answer of Allegro is not as documented");
        AllegroError::Malformed { text: "cannot be read", first: head::first_id(body) }
    })
}
