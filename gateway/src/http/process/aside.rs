//! The port of a process without doors (a compactor): whether it lives, its version, its metrics. Nothing else.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde_json::json;

use super::health::{exposition, health, version};
use crate::error::{Kind, Problem};
use crate::http::request::guard;

/// `/health`, `/ready`, `/version` and `/metrics` of a process; with a token, the metrics need it.
pub fn aside(registry: Arc<Registry>, token: Option<String>) -> Router {
    let token: Option<Arc<str>> = token.map(Into::into);
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .layer(from_fn_with_state(token, guard::own_token))
        .with_state(registry)
}

async fn ready() -> Json<serde_json::Value> {
    Json(json!({"state": "ready"}))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    exposition(crate::metrics::text(&registry))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        format!(
            "there is nothing at {}: this process has /health, /ready, /version and /metrics; rows are a gateway's",
            uri.path()
        ),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header};
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_told_to_who_has_the_token_and_health_to_everybody() {
        let mut registry = Registry::default();
        let rounds = prometheus_client::metrics::counter::Counter::<u64>::default();
        registry.register("rounds", "Rounds", rounds.clone());
        rounds.inc();
        let router = aside(Arc::new(registry), Some("secret".to_owned()));
        assert_eq!(ask(&router, "/health", None).await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/ready", None).await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/metrics", None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&router, "/metrics", Some("guess")).await.0, StatusCode::UNAUTHORIZED);
        let (status, text) = ask(&router, "/metrics", Some("secret")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("rounds_total 1") && text.ends_with("# EOF\n"), "{text}");
        let (status, text) = ask(&router, "/v1/databases", Some("secret")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text.contains("a gateway's"), "{text}");
    }
}
