//! The door, with a store in memory behind it: requests of each resource, and the routes against the document.

mod alter;
mod calls;
mod consume;
mod fake;
mod groups;
mod packed;
mod produce;
mod requests;
mod routes;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use fake::Fake;
use frazil_log::commit::index::PageCache;
use frazil_log::env::Env;
use frazil_log::format::commit::WriterInfo;
use frazil_log::protocol::Protocol;
use frazil_log::store::{Store, StoreOptions};
use serde_json::Value;
use tower::ServiceExt;

use super::{Options, router};
use crate::consume::tail::{TailMetrics, TailRing};
use crate::memory::{Ledger, Share};
use crate::metrics::Metrics;
use crate::produce::ingress::IngressOptions;
use crate::service::{Gateway, Parts};

/// Two rows of the table of most tests.
const ROWS: &str = r#"[{"id":1,"url":"a"},{"id":2,"url":"b"}]"#;

/// The door, and the store behind it.
struct Door {
    app: Arc<Fake>,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Door {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let app = Arc::new(Fake::default());
        Self { app: Arc::clone(&app), router: router(app, &Env::system(), options) }
    }

    /// Before a real gateway over a store in memory; its `app` is not asked.
    async fn real() -> Self {
        let env = Env::system();
        let gateway = Gateway::new(Parts {
            store: Store::open("memory://", &StoreOptions::default()).unwrap(),
            env: env.clone(),
            protocol: Protocol::SHIPPED,
            writer: WriterInfo {
                incarnation: env.ulid(),
                version: "test".into(),
                address: String::new(),
                zone: String::new(),
                put_p99_us: 0,
            },
            ingress: IngressOptions::default(),
            reads: Share::new(64 << 20),
            pages: PageCache::default(),
            memory: Ledger::default(),
            tail: TailRing::new(1 << 20, TailMetrics::default()),
            registry: Arc::default(),
            metrics: Metrics::default(),
        });
        gateway.start().await.unwrap();
        let router = router(Arc::new(gateway), &env, Options::default());
        Self { app: Arc::default(), router }
    }

    /// Sends `GET /path`, with a body and headers (`Name: value`) where they are given.
    async fn send(&self, line: &str, body: impl Into<Body>, headers: &[&str]) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/v1/databases/default/tables/{path}")
        };
        let mut request = Request::builder().method(method).uri(path);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap());
        let response = tokio::time::timeout(Duration::from_secs(60), response).await.unwrap().unwrap();
        let (head, body) = response.into_parts();
        let body =
            tokio::time::timeout(Duration::from_secs(60), to_bytes(body, 1 << 30)).await.unwrap().unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), "", &[]).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(&format!("POST {path}"), body.to_owned(), &[]).await
    }

    /// With the table of most tests, `clicks (id BIGINT NOT NULL, url STRING)`.
    async fn with_clicks(options: Options) -> Self {
        let door = Self::with(options);
        let answer = door.send("PUT clicks", r#"{"columns":"id BIGINT NOT NULL, url STRING"}"#, &[]).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        door
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// `status kind: detail`
    fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()));
        let kind = problem["type"].as_str().unwrap().trim_start_matches("/errors/");
        format!("{} {kind}: {}", self.status.as_u16(), problem["detail"].as_str().unwrap())
    }
}
