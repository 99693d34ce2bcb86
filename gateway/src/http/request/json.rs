//! Small JSON bodies, read strictly: a member that is not known is not there yet, or misspelt; it is named either way.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::params::no_params;
use crate::error::{Kind, Problem};
use crate::http::Doors;

/// The body of a request that takes no parameters and a small JSON document; `curl -d` need not say that it is one. `why` ends the
/// sentence about any other type.
pub(in crate::http) async fn json_request<T: DeserializeOwned>(
    doors: &Doors,
    request: Request,
    why: &str,
) -> Result<T, Problem> {
    no_params(request.uri())?;
    let (head, body) = request.into_parts();
    let body = doors.bodies.read(&head.headers, body).await?;
    check_json(&head.headers, why)?;
    serde_json::from_slice(&body.bytes).map_err(|error| unreadable(&error))
}

/// Refuses a body that says that it is not JSON.
pub(in crate::http) fn check_json(headers: &HeaderMap, why: &str) -> Result<(), Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence =
        content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !matches!(
        essence.as_str(),
        "" | "application/json" | "text/json" | "application/x-www-form-urlencoded"
    ) {
        return Err(Problem::new(Kind::UnsupportedMediaType, format!("Content-Type {essence:?}: {why}")));
    }
    Ok(())
}

/// What JSON that does not say what is asked for is called.
pub(crate) fn unreadable(error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let kind = if is_unknown { Kind::Unsupported } else { Kind::Malformed };
    Problem::new(kind, message)
}
