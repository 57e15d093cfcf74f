//! Probes of orchestrators, and metrics for Prometheus.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use telemetry::metrics::PrometheusHandle;

use crate::edge::{self, Shared};
use crate::health::{Health, Status};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/livez").get(livez))
        .service(web::resource("/readyz").get(readyz))
        .service(web::resource("/health").get(health_report))
        .service(web::resource("/metrics").get(metrics_text));
}

/// A server of only probes and metrics, bound and not yet running, and its address. One worker suffices.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn serve_apart(
    address: SocketAddr,
    probe_routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<(SocketAddr, actix_web::dev::Server)> {
    let server = HttpServer::new(move || {
        App::new().configure(&probe_routes).wrap(from_fn(edge::edge)).wrap(NormalizePath::trim())
    })
    .workers(1)
    .bind(address)?
    .disable_signals();
    let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address bound"))?;
    Ok((address, server.run()))
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

async fn readyz(health: Data<Health>, shared: Data<Shared>) -> HttpResponse {
    if shared.draining.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "not_ready", "reasons": ["stopping"] }));
    }
    let report = health.report().await;
    if report.status == Status::Unhealthy {
        return HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "not_ready", "reasons": report.troubles() }));
    }
    HttpResponse::Ok().json(json!({ "status": "ready" }))
}

async fn health_report(health: Data<Health>) -> HttpResponse {
    let report = health.report().await;
    let mut answer = match report.status {
        Status::Healthy | Status::Degraded => HttpResponse::Ok(),
        Status::Unhealthy => HttpResponse::ServiceUnavailable(),
    };
    answer.json(&*report)
}

async fn metrics_text(prometheus: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(prometheus.render())
}
