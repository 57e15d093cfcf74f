//! Talking to the sandbox as a client of Allegro does.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::{Sandbox, Settings};
use serde_json::{Value, json};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.allegro.public.v1+json";

/// A sandbox and what a client of it needs.
pub(crate) struct Allegro {
    sandbox: Sandbox,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Allegro {
    pub(crate) fn start(settings: Settings) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_mins(2))).build().into();
        Self { sandbox: Sandbox::start(settings).unwrap(), agent }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.url())
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let url = self.url(&format!("/_sandbox{path}"));
        read(match method {
            "GET" => self.agent.get(url).call(),
            "PUT" => self.agent.put(url).send_json(body),
            "PATCH" => self.agent.patch(url).send_json(body),
            "DELETE" => self.agent.delete(url).call(),
            _ => self.agent.post(url).send_json(body),
        })
    }

    pub(crate) fn oauth(&self, path: &str, form: &[(&str, &str)], credentials: &str) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        read(self.agent.post(self.url(path)).header("Authorization", basic).send_form(form.iter().copied()))
    }

    pub(crate) fn device(&self) -> Value {
        self.oauth("/auth/oauth/device", &[("client_id", "sandbox")], "sandbox:sandbox-secret").body
    }

    pub(crate) fn poll(&self, device: &Value) -> Answer {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device["device_code"].as_str().unwrap()),
        ];
        self.oauth("/auth/oauth/token", &form, "sandbox:sandbox-secret")
    }

    pub(crate) fn refresh(&self, pair: &Value) -> Answer {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", pair["refresh_token"].as_str().unwrap())];
        self.oauth("/auth/oauth/token", &form, "sandbox:sandbox-secret")
    }

    pub(crate) fn decide(&self, device: &Value, decision: &str) {
        let path = format!("/authorizations/{}/{decision}", device["user_code"].as_str().unwrap());
        assert_eq!(self.admin("POST", &path, &json!({})).status, 200);
    }

    /// A pair of tokens of the first seller.
    pub(crate) fn tokens(&self) -> Value {
        let device = self.device();
        self.decide(&device, "approve");
        self.poll(&device).body
    }

    pub(crate) fn get(&self, pair: &Value, path: &str) -> Answer {
        self.get_as(pair["access_token"].as_str().unwrap(), MEDIA_TYPE, path)
    }

    pub(crate) fn get_as(&self, token: &str, accept: &str, path: &str) -> Answer {
        let request = self.agent.get(self.url(path)).header("Accept", accept);
        read(request.header("Authorization", format!("Bearer {token}")).call())
    }

    pub(crate) fn put(&self, pair: &Value, path: &str, body: &Value) -> Answer {
        self.put_as(pair, path, MEDIA_TYPE, body)
    }

    pub(crate) fn put_as(&self, pair: &Value, path: &str, media_type: &str, body: &Value) -> Answer {
        let request = self.agent.put(self.url(path)).header("Authorization", bearer(pair));
        read(request.header("Content-Type", media_type).send(body.to_string()))
    }

    pub(crate) fn get_with_agent(&self, pair: &Value, agent: &str, path: &str) -> Answer {
        let request = self.agent.get(self.url(path)).header("User-Agent", agent);
        read(request.header("Authorization", bearer(pair)).call())
    }

    /// Changes rules.
    pub(crate) fn rule(&self, change: &Value) {
        assert_eq!(self.admin("PATCH", "/rules", change).status, 200, "{change}");
    }

    /// Lets the sandbox's clock jump forward.
    pub(crate) fn advance(&self, seconds: u32) {
        assert_eq!(self.admin("POST", "/clock/advance", &json!({ "seconds": seconds })).status, 200);
    }

    /// Makes orders and returns their ids, as the journal of the truth has them.
    pub(crate) fn orders(&self, wish: &Value) -> Vec<String> {
        assert_eq!(self.admin("POST", "/orders", wish).status, 200, "{wish}");
        let lines = self.page("/_sandbox/journal", &[]);
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["order_id"].as_str().unwrap().to_owned()
        };
        lines.lines().map(id).collect()
    }

    /// A GET whose answer may not come, or not whole.
    pub(crate) fn try_get(&self, pair: &Value, path: &str) -> Result<Value, ureq::Error> {
        let request = self.agent.get(self.url(path)).header("Accept", MEDIA_TYPE);
        request.header("Authorization", bearer(pair)).call()?.body_mut().read_json()
    }

    pub(crate) fn page(&self, path: &str, form: &[(&str, &str)]) -> String {
        let sent = if form.is_empty() {
            self.agent.get(self.url(path)).call()
        } else {
            self.agent.post(self.url(path)).send_form(form.iter().copied())
        };
        sent.unwrap().body_mut().read_to_string().unwrap()
    }
}

fn bearer(pair: &Value) -> String {
    format!("Bearer {}", pair["access_token"].as_str().unwrap())
}

fn read(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = sent.unwrap();
    let content_type = response.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
    let told = response.headers().iter();
    let headers = told.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
    Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default(),
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
    }
}
