//! Exports `tracing` spans to a collector.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use secrecy::ExposeSecret;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::queue::{Entrance, Exit, OnTheWay};
use crate::{Sampler, Settings};

/// Time limit of exporting a batch. The queue behind it is bounded.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is not a valid address, header or number.
    #[error("traces cannot be exported")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client cannot be built.
    #[error("traces cannot be exported: no HTTP client")]
    Client(#[from] reqwest::Error),
}

/// The trace exporter of this process.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Prepares the export without sending anything. An unavailable collector is not an error. Without settings no span
    /// is recorded, and contexts are still passed on.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn start(settings: Option<Settings>) -> Result<Self, Error> {
        let Some(settings) = settings else {
            let provider = SdkTracerProvider::builder().with_sampler(Sampler::NONE.build()).build();
            return Ok(Self { provider });
        };
        let attributes =
            settings.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_attributes(attributes)
            .with_service_name(settings.service_name.clone())
            .build();
        let on_the_way = OnTheWay::default();
        let exit = Exit { next: exporter(&settings)?, on_the_way: on_the_way.clone() };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_scheduled_delay(settings.delay)
            .build();
        let next = BatchSpanProcessor::builder(exit).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(settings.sampler.build())
            .with_span_processor(Entrance { next, on_the_way, room: settings.queue })
            .build();
        Ok(Self { provider })
    }

    /// The layer that records `tracing` spans. Its filter selects the spans. It must exclude events, because their
    /// fields belong to the log.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("zaplecze"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
    }

    /// Exports the queued spans, in at most `within`. Blocks meanwhile.
    pub fn end(self, within: Duration) {
        // Lost spans were already counted, and the process ends in any case.
        let _late = self.provider.shutdown_with_timeout(within);
    }
}

fn exporter(settings: &Settings) -> Result<SpanExporter, Error> {
    let mut endpoint = settings.endpoint.clone();
    let base = endpoint.path().trim_end_matches('/').to_owned();
    endpoint.set_path(&format!("{base}/v1/traces"));
    let headers: HashMap<String, String> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect();
    Ok(SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(TIMEOUT)
        .with_headers(headers)
        .with_http_client(client()?)
        .build()?)
}

/// The SDK exports on a thread without a runtime, so that its client blocks. Such a client has its own runtime, which
/// cannot be created inside another one.
fn client() -> Result<reqwest::blocking::Client, reqwest::Error> {
    // The first caller installs the process's TLS provider; later calls have no effect.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let made =
        std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(TIMEOUT).build());
    made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
