//! A collector of traces, as OTLP/HTTP knows it.

use std::sync::{Arc, Mutex, PoisonError};

use hex::encode as hex;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tiny_http::{Response, Server};

/// Listens on a free port and keeps what it is sent. Ends with the value.
pub struct Collector {
    server: Arc<Server>,
    spans: Arc<Mutex<Vec<Span>>>,
}

/// A span as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Whose it is.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// The parent's id; empty for a root.
    pub parent: String,
    /// The traces it is linked to.
    pub links: Vec<String>,
    /// Names and values, as text.
    pub attributes: Vec<(String, String)>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let (listening, kept) = (Arc::clone(&server), Arc::clone(&spans));
        std::thread::spawn(move || {
            for mut request in listening.incoming_requests() {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).expect("a body");
                assert_eq!(request.url(), "/v1/traces");
                let sent = ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf");
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(spans_of(sent));
                // Whoever asked may have gone.
                let _gone = request.respond(Response::empty(200));
            }
        });
        Self { server, spans }
    }

    /// Where it listens: the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// Everything it was sent.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn spans_of(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in sent.resource_spans {
        let about = pairs(resource.resource.unwrap_or_default().attributes);
        let service = about.into_iter().find(|(name, _)| name == "service.name").unwrap_or_default().1;
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: service.clone(),
                name: span.name,
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                attributes: pairs(span.attributes),
            });
        }
    }
    spans
}

fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value: Option<AnyValue>| match value.and_then(|it| it.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}
