//! Allegro's OAuth host: the device flow and refreshing.

use std::time::Duration;

use domain::TokenId;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::Subject;
use super::route::Route;
use super::send::Answered;
use super::{AllegroClient, AllegroError, Application, DeviceCode, REQUEST_TIMEOUT, TokenPair, read};

/// The device grant (RFC 8628 §3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// A request for tokens takes no longer, its wait for a place within the limits included.
pub(crate) const TOKEN_REQUEST_TIME: Duration = Duration::from_secs(11);
/// How long it waits for its place: others wait behind it.
const TOKEN_PATIENCE: Duration = Duration::from_secs(2);
const _: () = assert!(
    TOKEN_REQUEST_TIME.as_millis() >= TOKEN_PATIENCE.as_millis() + REQUEST_TIMEOUT.as_millis() + 1000
);

impl AllegroClient {
    /// Begins a device flow (RFC 8628 §3.1).
    ///
    /// # Errors
    /// When Allegro refuses the application or cannot be reached.
    pub(crate) async fn begin_device_flow(&self) -> Result<DeviceCode, AllegroError> {
        let form = [("client_id", self.application.client_id.as_str())];
        self.token_request(Route::Device, Subject::Application, "auth/oauth/device", &form).await
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
        self.token_request(Route::DeviceToken, Subject::Application, "auth/oauth/token", &form).await
    }

    /// Trades a refresh token for a new pair; the old access token is dead at once.
    ///
    /// # Errors
    /// [`AllegroError::OAuth`] `invalid_grant` when the token is no longer good.
    pub(crate) async fn refresh(
        &self,
        token_id: TokenId,
        refresh_token: &SecretString,
    ) -> Result<TokenPair, AllegroError> {
        let subject = Subject::Account(token_id);
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        self.token_request(Route::Refresh, subject, "auth/oauth/token", &form).await
    }

    async fn token_request<T: DeserializeOwned>(
        &self,
        route: Route,
        subject: Subject,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, AllegroError> {
        let url = self.application.auth_url.join(path).map_err(|_malformed| AllegroError::malformed())?;
        let Application { client_id, client_secret, .. } = &self.application;
        let request =
            self.http.post(url).basic_auth(client_id, Some(client_secret.expose_secret())).form(form);
        match self.once(route, subject, request, TOKEN_PATIENCE).await? {
            Answered::Success(body) => read(route, &body),
            Answered::Refusal { status, json, .. } => {
                Err(AllegroError::grant_refused(status, json.as_deref()))
            }
        }
    }
}
