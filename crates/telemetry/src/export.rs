//! From spans of `tracing` to a collector.

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

/// A collector that takes longer for a batch has failed: the queue behind it is bounded.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are no address, header or number OTLP can use.
    #[error("traces cannot be exported")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client cannot be built.
    #[error("traces cannot be exported: no HTTP client")]
    Client(#[from] reqwest::Error),
}

/// The traces of this process.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Prepares the export; nothing is sent yet, and a collector that is away is no error. Without settings nothing
    /// is kept, and contexts travel all the same.
    ///
    /// # Errors
    /// When the settings cannot be used.
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

    /// Makes spans of `tracing` spans of a trace. Its filter says which; events must be left out by it, their fields
    /// are for the log.
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

    /// Sends what waits, `within` at most; blocks meanwhile.
    pub fn end(self, within: Duration) {
        // What could not be sent was counted where it was given up; the process ends either way.
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

/// The SDK sends from a thread without a runtime, so its client blocks. Such a client brings a runtime of its own,
/// which may be made anywhere but inside another.
fn client() -> Result<reqwest::blocking::Client, reqwest::Error> {
    // The first caller installs the process's TLS provider; a later call finds it there.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let made =
        std::thread::spawn(|| reqwest::blocking::Client::builder().no_proxy().timeout(TIMEOUT).build());
    made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
