//! The gateways of a store: one of them is told to drain.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::Value;

use crate::error::Problem;
use crate::http::Doors;

/// A gateway takes no more writes, and hands leadership on; stop its process when it suits.
#[utoipa::path(post, path = "/v1/cluster/members/{id}/drain", tag = "process",
    params(("id" = String, Path, description = "an `id` of `members` in /v1/cluster")),
    responses((status = 202, description = "it was told; `/ready` of that gateway says `draining` from here on")))]
pub(in crate::http) async fn drain(
    State(doors): State<Arc<Doors>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(doors.app.drain_member(&id).await?)))
}
