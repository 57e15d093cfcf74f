//! One trace from a request that changes something to the webhook that tells of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use actix_web::{HttpResponse, web as routes};
use messaging::outbox;
use serde_json::json;
use telemetry::{Sampler, Settings, Traces};
use testkit::{Collector, Span, eventually};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use web::{Authenticator, Server};

use crate::support::{Desk, LOCAL, Receiver, all_to, event};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLERS_SPAN: &str = "00f067aa0ba902b7";

/// The test process is the service that tells events: its spans go to the collector too.
fn trace_this_process(collector: &Collector) {
    let traces = Traces::start(Some(Settings {
        endpoint: collector.url().parse().unwrap(),
        headers: Vec::new(),
        service_name: "teller".to_owned(),
        attributes: Vec::new(),
        sampler: Sampler::default(),
        queue: 1000,
        delay: Duration::from_millis(50),
    }))
    .unwrap();
    let spans = Targets::new().with_target("web", tracing::Level::INFO);
    let spans = spans.and(filter_fn(|what: &tracing::Metadata<'_>| what.is_span()));
    tracing_subscriber::registry().with(traces.layer().with_filter(spans)).init();
}

/// A service with one route that tells `events` events in one transaction.
fn tell_by_http(pool: pg::Pool, stop: &CancellationToken) -> String {
    let server = Server::new(Authenticator::new("teller").insecure_local(true))
        .routes(move |config| {
            config.app_data(routes::Data::new(pool.clone())).route("/tell/{events}", routes::post().to(tell));
        })
        .bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap();
    let url = format!("http://{}/api/v1/tell", server.address());
    tokio::spawn(server.run(stop.clone(), stop.clone()));
    url
}

async fn tell(pool: routes::Data<pg::Pool>, events: routes::Path<u32>) -> HttpResponse {
    let events: Vec<_> = (0..*events).map(|number| event(number.into())).collect();
    let told: Result<(), pg::Error> = pool.transaction(async |conn| outbox::push(conn, &events).await).await;
    told.unwrap();
    HttpResponse::NoContent().finish()
}

/// Spans of this name in the caller's trace, once there are so many.
async fn until(collector: &Collector, name: &str, wanted: usize) -> Vec<Span> {
    eventually(&format!("{wanted} spans {name}"), async || {
        let mut spans = collector.spans();
        spans.retain(|span| span.name == name && span.trace_id == CALLER);
        (spans.len() >= wanted).then_some(spans)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_every_webhook_it_causes_are_one_trace() {
    let collector = Collector::start();
    trace_this_process(&collector);
    let url = collector.url();
    let otel = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let desk = Desk::open_with(&[&LOCAL[..], &otel].concat()).await;
    let receiver = Receiver::answering(204);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    let stop = CancellationToken::new();
    let tell = tell_by_http(desk.pool.clone(), &stop);

    // One event, then two that the dispatcher may take in one batch.
    let (user_agent, timeout) = ("caller".to_owned(), Duration::from_secs(20));
    let client = egress::client(&egress::Settings { user_agent, connect_timeout: timeout, timeout }).unwrap();
    for events in [1, 2] {
        let request = client
            .post(format!("{tell}/{events}"))
            .header("traceparent", format!("00-{CALLER}-{CALLERS_SPAN}-01"))
            .header("tracestate", "shop=1");
        assert_eq!(request.send().await.unwrap().status(), 204);
    }
    let hits = receiver.until_hits(3).await;
    let requests = until(&collector, "POST /api/v1/tell/{events}", 2).await;
    let processed = until(&collector, "process webhook-dispatcher.events", 3).await;
    let posted = until(&collector, "POST webhook", 3).await;

    assert!(
        requests.iter().all(|span| span.service == "teller" && span.parent == CALLERS_SPAN),
        "{requests:?}"
    );
    let is_request = |id: &str| requests.iter().any(|request| request.id == id);
    for span in processed.iter().chain(&posted) {
        assert!(span.service == "webhook-dispatcher" && is_request(&span.parent), "{span:?}");
    }
    for hit in &hits {
        let parent = hit.headers["traceparent"].to_str().unwrap();
        assert!(posted.iter().any(|span| parent == format!("00-{CALLER}-{}-01", span.id)), "{parent}");
        assert_eq!(hit.headers["tracestate"], "shop=1");
    }
    // An event that somebody tells without a trace begins one where it is taken in.
    desk.tell(&[event(3)]).await;
    let parent = receiver.until_hits(4).await[3].headers["traceparent"].to_str().unwrap().to_owned();
    let (posted, taken_in) = eventually("a trace of its own", async || {
        let spans = collector.spans();
        let posted = spans.iter().find(|span| parent == format!("00-{}-{}-01", span.trace_id, span.id))?;
        let taken_in = spans.iter().find(|span| span.id == posted.parent)?;
        Some((posted.clone(), taken_in.clone()))
    })
    .await;
    assert_eq!((&*posted.name, &*taken_in.name), ("POST webhook", "process webhook-dispatcher.events"));
    assert!(posted.trace_id == taken_in.trace_id && posted.trace_id != CALLER);
    // Events of outside producers and tests go on with their requests.
    let outside = json!({ "type": "custom.thing", "data": {} });
    for (path, wish) in [("/events".to_owned(), outside), (format!("/webhooks/{id}/test"), json!({}))] {
        let before = receiver.hits().len();
        let headers = [
            ("authorization", &*format!("Bearer {}", desk.service.issue("webhook-dispatcher:write"))),
            ("content-type", "application/json"),
            ("traceparent", &*format!("00-{CALLER}-{CALLERS_SPAN}-01")),
        ];
        let (path, wish) = (format!("/api/v1{path}"), wish.to_string());
        let answer = desk.service.request("POST", &path, &headers, wish.as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{path}");
        let hit = receiver.until_hits(before + 1).await.pop().unwrap();
        let parent = hit.headers["traceparent"].to_str().unwrap().to_owned();
        assert!(parent.starts_with(&format!("00-{CALLER}-")) && parent.ends_with("-01"), "{parent}");
    }
    // What the log knows of a person or a subscriber is not told to the collector.
    for (name, value) in collector.spans().into_iter().flat_map(|span| span.attributes) {
        assert!(name != "user_id" && !value.contains("/hooks"), "{name}={value}");
    }
}
