//! The commands' way to a gateway: plain HTTP, as any other client speaks it.
//!
//! Invariants:
//! * nothing here knows a gateway's insides: what a command can do, curl can do;
//! * a request is sent once; who repeats it decides that by [`retry`], a pure function;
//! * whatever goes wrong is a [`Failure`] that says what happened, what is known of the outcome, and what to do.
//!
//! Start reading at [`Client`].

mod args;
mod failure;
pub(crate) mod metrics;
mod names;
mod position;
pub(crate) mod retry;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

pub(crate) use args::{Endpoint, ObjectArgs};
pub(crate) use failure::{Failure, Problem};
pub(crate) use names::{DATABASE_DEFAULT, TableName};
pub(crate) use position::Position;

use crate::output::Format;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a gateway may be silent in the middle of an answer; longer than any wait or deadline that is asked of it.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A gateway, reached over HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: bytes::Bytes,
}

/// A success, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status, a 2xx (or the one that was asked to be let through).
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// Its body.
    pub(crate) body: bytes::Bytes,
}

/// Runs a command's future to its end on a runtime of its own. Output that nobody reads any more is no failure.
///
/// # Errors
/// Those of the future, and when no runtime can be made.
pub(crate) fn run(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().context("no runtime can be started")?;
    let outcome = runtime.block_on(command);
    // A thread that waits for standard input must not hold up the end.
    runtime.shutdown_background();
    outcome.or_else(|error| if is_broken_pipe(&error) { Ok(ExitCode::SUCCESS) } else { Err(error) })
}

/// [Runs](run) a command about objects: with its gateway, and the form in which it prints.
///
/// # Errors
/// Those of the command, and when the gateway's address or token cannot be one.
pub(crate) fn run_on<F>(
    common: &ObjectArgs,
    command: impl FnOnce(Client, Format) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    run(async {
        command(Client::new(&common.endpoint)?, common.output).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

impl Client {
    /// A client of the gateway at a URL.
    ///
    /// # Errors
    /// If the URL is none that HTTP goes to, the token cannot stand in a header, or TLS cannot be set up.
    pub(crate) fn new(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let base: Url = endpoint
            .url
            .parse()
            .with_context(|| format!("--url {}: no URL; write it as http://host:port", endpoint.url))?;
        anyhow::ensure!(
            matches!(base.scheme(), "http" | "https") && base.has_host(),
            "--url {}: write it as http://host:port",
            endpoint.url
        );
        let mut headers = HeaderMap::new();
        if let Some(token) = endpoint.token.as_deref().filter(|token| !token.is_empty()) {
            let bearer = HeaderValue::try_from(format!("Bearer {token}"));
            let mut bearer = bearer.context("--token: it holds characters that no header may have")?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("frazil/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // Without TLS, no certificates need to be looked for.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        // Only a second attempt fails, and that one needs nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = builder.build().context("no HTTP client can be made")?;
        Ok(Self { http, base })
    }

    /// The base URL, as it is shown.
    pub(crate) fn shown_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request to a path below the base URL; each part is escaped.
    pub(crate) fn request(&self, method: Method, parts: &[&str]) -> Request {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        Request { method, url, headers: HeaderMap::new(), body: bytes::Bytes::new() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`Failure::Refused`] for every status that is no success, else what kept the answer away.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let answer = self.send_any(request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Failure::Refused(Box::new(answer.problem(request))))
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// What kept the answer away.
    pub(crate) async fn send_any(&self, request: &Request) -> Result<Answer, Failure> {
        let lost = |error: reqwest::Error| Failure::of_transport(self.shown_url(), &error);
        let sent = self.http.request(request.method.clone(), request.url.clone());
        let sent = sent.headers(request.headers.clone()).body(request.body.clone()).send().await;
        let response = sent.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(lost)?;
        Ok(Answer { status, headers, body })
    }

    /// Sends a request and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`Client::send`]; [`Failure::Strange`] if the answer is no JSON.
    pub(crate) async fn json(&self, request: &Request) -> Result<Value, Failure> {
        self.send(request).await?.json()
    }
}

impl Request {
    /// Adds a parameter to the query.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.url.query_pairs_mut().append_pair(name, value.as_ref());
        self
    }

    /// Adds a header; a value that no header may have is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Gives it a body.
    #[must_use]
    pub(crate) fn body(mut self, content_type: &'static str, body: bytes::Bytes) -> Self {
        self.body = body;
        self.header("content-type", content_type)
    }

    /// Gives it a body of JSON.
    #[must_use]
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", bytes::Bytes::from(body.to_string()))
    }
}

impl Answer {
    /// A header's text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if there is none.
    ///
    /// # Errors
    /// [`Failure::Strange`] if it is no JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let strange =
            |error| Failure::Strange(format!("the answer is no JSON ({error}): is this a gateway?"));
        serde_json::from_slice(&self.body).map_err(strange)
    }

    fn problem(&self, request: &Request) -> Problem {
        let retry_after = self.header("retry-after").parse().ok().map(Duration::from_secs);
        let place = format!("{} {}", request.method, request.url.path());
        Problem::of_answer(self.status, retry_after, &self.body, &place)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
