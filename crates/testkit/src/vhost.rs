//! A RabbitMQ vhost of a test's own.

use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::given;

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

    fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(self.address(path).as_str()).call().expect("the management interface");
        answer.body_mut().read_json().expect("JSON")
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // The server is thrown away after the run: a vhost left over harms nobody.
        let _left = ureq::delete(self.address(&format!("vhosts/{}", self.name)).as_str()).call();
    }
}
