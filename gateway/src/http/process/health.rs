//! The process: what a newcomer sees at `/`, whether it lives and should get requests, its version and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::Readiness;
use crate::error::Problem;
use crate::http::Doors;

/// Version, store, and where to go on.
#[utoipa::path(get, path = "/", tag = "process", responses((status = 200, description = "version, store and links")))]
pub(in crate::http) async fn banner(State(doors): State<Arc<Doors>>) -> Json<Value> {
    Json(json!({
        "frazil": crate::http::VERSION,
        "store": doors.app.store(),
        "try": "curl '…/v1/databases/default/tables/clicks/rows?create=true' -d '[{\"id\":1,\"url\":\"/home\"}]'",
        "links": {
            "databases": "/v1/databases",
            "tables": "/v1/databases/default/tables",
            "openapi": "/openapi.json",
            "ready": "/ready",
            "metrics": "/metrics",
        },
    }))
}

/// The process lives.
#[utoipa::path(get, path = "/health", tag = "process", responses((status = 200, description = "the process lives")))]
pub(in crate::http) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// The process should get requests: 503 only while folding at start and while draining.
#[utoipa::path(get, path = "/ready", tag = "process", responses(
    (status = 200, description = "`state` is `ready`, or `read-only` while the store cannot be written"),
    (status = 503, description = "`state` is `folding` or `draining`"),
))]
pub(in crate::http) async fn ready(State(doors): State<Arc<Doors>>) -> Response {
    let (status, state) = match doors.app.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready"),
        Readiness::ReadOnly => (StatusCode::OK, "read-only"),
        Readiness::Folding => (StatusCode::SERVICE_UNAVAILABLE, "folding"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    (status, Json(json!({"state": state}))).into_response()
}

/// The version of this gateway.
#[utoipa::path(get, path = "/version", tag = "process", responses((status = 200, description = "the version")))]
pub(in crate::http) async fn version() -> Json<Value> {
    Json(json!({"version": crate::http::VERSION}))
}

/// All metrics, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "process", responses((status = 200, description = "the metrics", content_type = "application/openmetrics-text", body = String)))]
pub(in crate::http) async fn metrics(State(doors): State<Arc<Doors>>) -> Response {
    exposition(doors.app.metrics())
}

/// An answer of metrics.
pub(super) fn exposition(metrics: String) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics).into_response()
}

/// The gateways of this store, as this one knows them.
#[utoipa::path(get, path = "/v1/cluster", tag = "process", responses((status = 200, description = "the cluster")))]
pub(in crate::http) async fn cluster(State(doors): State<Arc<Doors>>) -> Result<Json<Value>, Problem> {
    doors.app.cluster().await.map(Json)
}
