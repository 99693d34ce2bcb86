//! What every request passes: it gets an id, shows its token, and its panic becomes a problem.
//!
//! A problem goes through here as HTTP's answer; a gRPC call gets it as gRPC says it.

use std::any::Any;
use std::hint::black_box;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{Kind, Problem};
use crate::flight::status::{is_grpc, refuse};
use crate::http::Doors;

/// The header of a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a client may give, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// Says which request a problem is of.
    pub(crate) fn name(&self, problem: Problem) -> Problem {
        problem.with_request_id(&*self.0)
    }
}

/// What is open without a token.
const OPEN: [&str; 3] = ["/health", "/ready", "/version"];

/// Names the request, in the answer's header and in its problem.
pub(in crate::http) async fn request_id(
    State(doors): State<Arc<Doors>>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id));
    let id = RequestId(given.map_or_else(|| doors.env.ulid().to_string(), str::to_owned).into());
    request.extensions_mut().insert(id.clone());
    let is_call = is_grpc(request.headers());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        let problem = id.name(Problem::clone(&problem));
        if is_call {
            response = refuse(&problem);
        } else {
            *response.body_mut() = Body::from(problem.to_json());
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn is_plain(id: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Lets a request through that shows the token, or that needs none.
pub(in crate::http) async fn token(
    State(doors): State<Arc<Doors>>,
    request: Request,
    next: Next,
) -> Response {
    check(doors.options.token.as_deref(), request, next).await
}

/// The same for a process that has no doors, only a token.
pub(in crate::http) async fn own_token(
    State(token): State<Option<Arc<str>>>,
    request: Request,
    next: Next,
) -> Response {
    check(token.as_deref(), request, next).await
}

async fn check(token: Option<&str>, request: Request, next: Next) -> Response {
    let Some(token) = token.filter(|_| !OPEN.contains(&request.uri().path())) else {
        return next.run(request).await;
    };
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let detail = match shown.and_then(|value| value.split_once(' ')) {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") => {
            if equal(shown.trim().as_bytes(), token.as_bytes()) {
                return next.run(request).await;
            }
            "the token is not the one that this process was started with"
        }
        Some(_) => "Authorization must be Bearer and the token",
        None => "there is no token: send Authorization: Bearer <token>",
    };
    let problem = Problem::new(Kind::Unauthenticated, detail);
    problem.into_response()
}

/// Whether two texts are the same, in a time that depends on the length of the shown one only.
fn equal(shown: &[u8], token: &[u8]) -> bool {
    let mut difference = u8::from(shown.len() != token.len());
    for (place, byte) in shown.iter().enumerate() {
        difference |= black_box(byte ^ token.get(place).copied().unwrap_or(0));
    }
    black_box(difference) == 0
}

/// The answer to a request whose handler panicked.
pub(in crate::http) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = words.unwrap_or("no words"), "a request panicked: please report it");
    Problem::internal("the gateway met a state that it does not know").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_is_equal() {
        assert!(equal(b"secret", b"secret"));
        for shown in [&b""[..], b"secre", b"secrets", b"Secret", b"secret\0"] {
            assert!(!equal(shown, b"secret"));
        }
        assert!(!equal(b"\0", b""));
    }
}
