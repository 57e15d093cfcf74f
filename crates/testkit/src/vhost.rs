//! A RabbitMQ vhost of a test's own.

use domain::events::Envelope;
use domain::topology::{SUBSCRIBERS, Subscriber};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::given;

/// Password of a vhost's second user.
const PASSWORD: &str = "another";

/// An empty vhost. Deleted with the value.
pub struct Vhost {
    name: String,
    management: Url,
    url: SecretString,
}

impl Vhost {
    /// Makes a vhost.
    ///
    /// # Panics
    /// When there is no server.
    pub fn create() -> Self {
        let name = format!("test-{}", Uuid::now_v7().simple());
        let mut url = Url::parse(&given("AMQP_URL")).expect("AMQP_URL is a URL");
        url.set_path(&name);
        let management = Url::parse(&given("AMQP_MANAGEMENT_URL")).expect("AMQP_MANAGEMENT_URL is a URL");
        let vhost = Self { name, management, url: String::from(url).into() };
        vhost.put(&format!("vhosts/{}", vhost.name), &json!({}));
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        vhost.put(&format!("permissions/{}/{}", vhost.name, vhost.management.username()), &all);
        vhost
    }

    /// Where a client finds it.
    pub const fn url(&self) -> &SecretString {
        &self.url
    }

    /// The URL of the vhost for another user. That user may declare and read everything, and write to resources that match
    /// the regular expression `write`.
    ///
    /// # Panics
    /// When the management interface does not answer.
    pub fn url_of_another(&self, write: &str) -> SecretString {
        let user = self.other_user();
        self.put(&format!("users/{user}"), &json!({"password": PASSWORD, "tags": ""}));
        let rights = json!({"configure": ".*", "write": write, "read": ".*"});
        self.put(&format!("permissions/{}/{user}", self.name), &rights);
        let mut url = Url::parse(self.url.expose_secret()).expect("a URL");
        url.set_username(&user).and_then(|()| url.set_password(Some(PASSWORD))).expect("a URL with a user");
        String::from(url).into()
    }

    /// The name of the user of [`Vhost::url_of_another`].
    pub fn other_user(&self) -> String {
        format!("other-{}", self.name)
    }

    /// Makes a queue that is told every fact from now on, as an outside consumer would.
    ///
    /// # Panics
    /// When the management interface does not answer.
    pub fn listen(&self, queue: &str) {
        let vhost = &self.name;
        self.put(&format!("exchanges/{vhost}/zaplecze.events"), &json!({"type": "topic", "durable": true}));
        self.put(&format!("queues/{vhost}/{queue}"), &json!({"durable": true}));
        let binding = json!({"routing_key": "#"});
        self.post(&format!("bindings/{vhost}/e/zaplecze.events/q/{queue}"), &binding);
    }

    /// Lets the queues of all subscribers be out of order, so that relays leave them out: with nobody to tell, facts stay in
    /// the outbox, where a test can read them.
    ///
    /// # Panics
    /// When the management interface does not answer, or the queues are there already.
    pub fn leave_out_subscribers(&self) {
        for Subscriber { service, .. } in SUBSCRIBERS {
            self.put(&format!("queues/{}/{service}.events.dead", self.name), &json!({"durable": true}));
        }
    }

    /// Publishes an event as a producer outside the workspace would, with these headers; false when no queue takes it.
    ///
    /// # Panics
    /// When the management interface does not answer, or there is no exchange yet.
    pub fn publish(&self, event: &Envelope, headers: &Value) -> bool {
        self.publish_with(event, &headers.to_string())
    }

    /// As [`Vhost::publish`], with the headers as JSON text: a [`Value`] nested thousands deep overflows the stack.
    ///
    /// # Panics
    /// When the management interface does not answer, or there is no exchange yet.
    pub fn publish_with(&self, event: &Envelope, headers: &str) -> bool {
        let (id, kind) = (json!(event.id), json!(event.kind));
        let body = json!(serde_json::to_string(event).expect("an event"));
        let message = format!(
            r#"{{"routing_key":{kind},"payload":{body},"payload_encoding":"string",
            "properties":{{"delivery_mode":2,"message_id":{id},"type":{kind},"headers":{headers}}}}}"#
        );
        let url = self.address(&format!("exchanges/{}/zaplecze.events/publish", self.name));
        let answer = ureq::post(url.as_str()).content_type("application/json").send(message);
        let published: Value =
            answer.expect("the management interface").body_mut().read_json().expect("JSON");
        published["routed"] == true
    }

    /// Takes the messages that are in a queue now, as text, the oldest first.
    ///
    /// # Panics
    /// When the management interface does not answer, or there is no such queue.
    pub fn take(&self, queue: &str) -> Vec<String> {
        let wish = json!({"count": 10_000, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let messages = self.post(&format!("queues/{}/{queue}/get", self.name), &wish);
        let messages = messages.as_array().into_iter().flatten();
        messages.map(|it| it["payload"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Ends every connection of the vhost from the broker's side, and returns how many there were.
    ///
    /// # Panics
    /// When the management interface does not answer.
    pub fn end_connections(&self) -> usize {
        let connections = self.get(&format!("vhosts/{}/connections", self.name));
        let names = connections.as_array().into_iter().flatten().filter_map(|it| it.get("name")?.as_str());
        names
            .map(|name| {
                let mut url = self.address("connections");
                url.path_segments_mut().expect("an http URL").push(name);
                // It may have gone by itself meanwhile.
                let _gone = ureq::delete(url.as_str()).call();
            })
            .count()
    }

    /// Loads definitions as `rabbitmqctl import_definitions` does, into this vhost.
    ///
    /// # Panics
    /// When the broker refuses them.
    pub fn import(&self, definitions: &Value) {
        let url = self.address(&format!("definitions/{}", self.name));
        ureq::post(url.as_str()).send_json(definitions).expect("the management interface");
    }

    /// What the broker says of a queue.
    ///
    /// # Panics
    /// When it has none of this name.
    pub fn queue(&self, name: &str) -> Value {
        self.get(&format!("queues/{}/{name}", self.name))
    }

    fn address(&self, path: &str) -> Url {
        self.management.join(&format!("/api/{path}")).expect("a URL")
    }

    fn put(&self, path: &str, body: &Value) {
        ureq::put(self.address(path).as_str()).send_json(body).expect("the management interface");
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(self.address(path).as_str()).send_json(body);
        // What was made has no body.
        answer.expect("the management interface").body_mut().read_json().unwrap_or_default()
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(self.address(path).as_str()).call().expect("the management interface");
        answer.body_mut().read_json().expect("JSON")
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // The server is thrown away after the run: a vhost left over harms nobody.
        for path in [format!("vhosts/{}", self.name), format!("users/{}", self.other_user())] {
            let _left = ureq::delete(self.address(&path).as_str()).call();
        }
    }
}
