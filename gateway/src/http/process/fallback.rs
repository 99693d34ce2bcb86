//! Requests that no handler takes: unknown URLs, wrong methods, and what api.md has and this version has not.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use crate::error::{Kind, Problem};
use crate::http::Doors;

/// Routes of api.md that are not there yet. `{…}` stands for one part of a path, `{*…}` for the rest.
pub(in crate::http) const PLANNED: [&str; 10] = [
    "/v1/databases/{db}/tables/{table}/lookup",
    "/v1/databases/{db}/tables/{table}/compact",
    "/v1/sql",
    "/v1/queries",
    "/v1/queries/{id}",
    "/v1/cluster/members",
    "/v1/cluster/members/{id}",
    "/v1/cluster/members/{id}/drain",
    "/iceberg",
    "/iceberg/{*rest}",
];

/// The most URLs that a 404 suggests.
const NEARBY_MAX: usize = 5;

/// Adds the planned routes and the fallbacks.
pub(in crate::http) fn add(mut router: Router<Arc<Doors>>) -> Router<Arc<Doors>> {
    for path in PLANNED {
        router = router.route(path, any(planned));
    }
    router.fallback(unknown).method_not_allowed_fallback(method_not_allowed)
}

async fn planned(method: Method, uri: Uri) -> Problem {
    Problem::unsupported(format!("{method} {} is not supported in this version", uri.path()))
}

async fn unknown(State(doors): State<Arc<Doors>>, uri: Uri) -> Response {
    let nearby = nearby(uri.path(), doors.paths.iter().map(String::as_str));
    let problem = Problem::new(Kind::NoSuchRoute, format!("there is nothing at {}", uri.path()));
    problem.with("nearby", nearby).into_response()
}

/// The `Allow` header is added by the router.
async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not allowed at {}", uri.path()))
}

/// The paths that share most parts with this one, the closest first.
fn nearby<'p>(path: &str, known: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let distance = |known: &str| {
        let known: Vec<_> = known.split('/').filter(|part| !part.is_empty()).collect();
        let same =
            parts.iter().zip(&known).filter(|(part, known)| known.starts_with('{') || part == known).count();
        parts.len().max(known.len()) - same
    };
    let mut near: Vec<_> = known.map(|known| (distance(known), known)).collect();
    near.sort_unstable();
    near.into_iter().take(NEARBY_MAX).map(|(_, path)| path).collect()
}
