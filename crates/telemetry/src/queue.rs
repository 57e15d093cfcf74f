//! The queue between finished spans and the collector: bounded, counted, without personal data.
//!
//! The SDK's own processor batches and exports on its own thread, but does not report how many spans it dropped. Spans
//! are therefore counted before and after it, and spans above its capacity are dropped before it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

/// Counter of dropped spans, by reason.
pub(crate) const DROPPED: &str = "telemetry_spans_dropped_total";

/// The attributes of a span that are exported. Other fields (a user's id) are only logged.
const PERMITTED: [&str; 9] =
    ["correlation_id", "error.", "http.", "kind", "messaging.", "network.", "server.", "task", "url."];

/// Number of queued spans: submitted, and neither exported nor dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnTheWay(Arc<AtomicUsize>);

/// The input of the queue.
#[derive(Debug)]
pub(crate) struct Entrance<P> {
    pub(crate) next: P,
    pub(crate) on_the_way: OnTheWay,
    pub(crate) room: usize,
}

/// The output of the queue.
#[derive(Debug)]
pub(crate) struct Exit<E> {
    pub(crate) next: E,
    pub(crate) on_the_way: OnTheWay,
}

impl<P: SpanProcessor> SpanProcessor for Entrance<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.on_the_way.0.fetch_add(1, Ordering::AcqRel) >= self.room {
            self.on_the_way.0.fetch_sub(1, Ordering::AcqRel);
            metrics::counter!(DROPPED, "reason" => "queue_full").increment(1);
            return;
        }
        span.attributes.retain(|attribute| {
            let key = attribute.key.as_str();
            PERMITTED.iter().any(|one| if one.ends_with('.') { key.starts_with(one) } else { key == *one })
        });
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

impl<E: SpanExporter> SpanExporter for Exit<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let spans = batch.len();
        let sent = self.next.export(batch);
        async move {
            let sent = sent.await;
            self.on_the_way.0.fetch_sub(spans, Ordering::AcqRel);
            if let Err(error) = &sent {
                let lost = u64::try_from(spans).unwrap_or(u64::MAX);
                metrics::counter!(DROPPED, "reason" => "export_failed").increment(lost);
                tracing::debug!(%error, spans, "collector did not accept spans");
            }
            sent
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
