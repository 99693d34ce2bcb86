//! The offsets of a table's buckets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};

use super::Doors;
use super::request::params::{name, no_params};
use crate::error::Problem;

/// Earliest, covered and latest offset of each bucket; `latest` is confirmed.
#[utoipa::path(get, path = "/v1/databases/{db}/tables/{table}/offsets", tag = "rows", responses((status = 200, description = "`buckets`")))]
pub(super) async fn offsets(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    no_params(&uri)?;
    let buckets = doors.app.offsets(&name(&db)?, &name(&table)?).await?;
    Ok(Json(json!({"buckets": buckets})))
}
