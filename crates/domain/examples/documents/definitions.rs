//! RabbitMQ's definitions: the services' own declarations, for operators who load them in advance.

use domain::topology::{EXCHANGE, Role, SUBSCRIBERS, queues};
use serde_json::{Map, Value, json};

const VHOST: &str = "/";

/// Exchange, queues and bindings. Users, permissions and policies belong to the operator of the broker.
pub(crate) fn document() -> Value {
    let exchange = json!({
        "name": EXCHANGE, "vhost": VHOST, "type": "topic",
        "durable": true, "auto_delete": false, "internal": false, "arguments": {},
    });
    let queues: Vec<Value> = SUBSCRIBERS
        .iter()
        .flat_map(|subscriber| queues(*subscriber))
        .map(|queue| {
            let arguments: Map<String, Value> =
                queue.arguments.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!({
                "name": queue.name, "vhost": VHOST,
                "durable": true, "auto_delete": false, "arguments": arguments,
            })
        })
        .collect();
    let bindings: Vec<Value> = SUBSCRIBERS
        .iter()
        .flat_map(|subscriber| subscriber.bindings.iter().map(move |pattern| (subscriber.service, pattern)))
        .map(|(service, pattern)| {
            json!({
                "source": EXCHANGE, "vhost": VHOST, "destination": Role::Main.queue_of(service),
                "destination_type": "queue", "routing_key": pattern, "arguments": {},
            })
        })
        .collect();
    json!({ "vhosts": [{ "name": VHOST }], "exchanges": [exchange], "queues": queues, "bindings": bindings })
}
