//! A small HTTP client that speaks as curl does: `-d` sends a form's content type, and redirects and retries are the test's affair.

use std::sync::Once;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use serde_json::Value;

/// Longer than a gateway's own request deadline.
const REQUEST_MAX: Duration = Duration::from_secs(60);
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A client of one base URL.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, String> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|error| format!("{error:?}"))?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { status, headers, bytes, text })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A header, as text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// The problem document of an error: checks its shape, and that its type is `/errors/{kind}`.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.header("content-type").starts_with("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/errors/{kind}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["title", "detail", "request_id"] {
            assert!(problem[field].is_string(), "{field} in {problem}");
        }
        let retry = problem["retry"].as_str().unwrap_or("");
        assert!(["never", "same", "after"].contains(&retry), "{problem}");
        problem
    }

    /// Checks the status and gives the JSON.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }
}

impl Http {
    /// A client of `base`, such as `http://127.0.0.1:7777`.
    pub(crate) fn new(base: &str) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .expect("no other provider was installed");
        });
        let client =
            Client::builder().timeout(REQUEST_MAX).no_proxy().build().expect("a plain client can be built");
        Self { client, base: base.to_owned() }
    }

    /// A request whose failure to be answered is a value.
    pub(crate) async fn attempt(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, String> {
        let response = self.send(method, path, headers, body).await?;
        Answer::read(response).await
    }

    /// A request whose body is read by the caller, piece by piece.
    pub(crate) async fn open(&self, path: &str) -> Response {
        self.send("GET", path, &[], None).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Response, String> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method is a word");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header(FORM.0, FORM.1);
            }
            request = request.body(body);
        }
        request.send().await.map_err(|error| format!("{error:?}"))
    }

    /// A GET that may fail.
    pub(crate) async fn try_get(&self, path: &str) -> Result<Answer, String> {
        self.attempt("GET", path, &[], None).await
    }

    /// A GET that is answered.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], None).await
    }

    /// A PUT with `curl -d`.
    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.request("PUT", path, &[], Some(body.as_bytes().to_vec())).await
    }

    /// A POST with `curl -d`.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[], Some(body.as_bytes().to_vec())).await
    }

    /// A POST of an idempotent producer with epoch 0.
    pub(crate) async fn post_as(&self, path: &str, producer: &str, seq: u64, body: &str) -> Answer {
        let seq = seq.to_string();
        let headers = [("Producer-Id", producer), ("Producer-Epoch", "0"), ("Producer-Seq", seq.as_str())];
        self.request("POST", path, &headers, Some(body.as_bytes().to_vec())).await
    }

    /// Any request that is answered.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let answer = self.attempt(method, path, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.base))
    }
}
