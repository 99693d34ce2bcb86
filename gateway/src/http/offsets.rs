//! The offsets of a table's buckets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use frazil_log::id::{Bucket, Name};
use serde_json::{Value, json};

use super::Doors;
use super::request::params::{Params, check_buckets, name, offsets_at};
use crate::app::Application;
use crate::consume::position::From;
use crate::error::Problem;

/// Earliest, covered and latest offset of each bucket; `latest` is confirmed. With `at`, also where a read from that time begins:
/// `position`, which any `from` takes.
#[utoipa::path(get, path = "/v1/databases/{db}/tables/{table}/offsets", tag = "rows",
    params(("at" = Option<String>, Query, description = "a time (RFC 3339), how long ago (-15m), or anything that `from` takes")),
    responses((status = 200, description = "`buckets`, and `position` if `at` is given")))]
pub(super) async fn offsets(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    tell(&*doors.app, &name(&db)?, &name(&table)?, Params::of(&uri)?).await.map(Json)
}

/// The answer, over HTTP and Flight.
pub(crate) async fn tell(
    app: &dyn Application,
    db: &Name,
    table: &Name,
    params: Params,
) -> Result<Value, Problem> {
    let Some(at) = offsets_at(params)? else {
        return Ok(json!({"buckets": app.offsets(db, table).await?}));
    };
    if let From::Position(position) = &at {
        check_buckets(position, app.table(db, table).await?.spec.buckets)?;
    }
    let position = app.position(db, table, at).await?;
    let mut buckets = json!(app.offsets(db, table).await?);
    for bucket in buckets.as_array_mut().into_iter().flatten() {
        let number = bucket["bucket"].as_u64().and_then(|number| u32::try_from(number).ok());
        bucket["at"] = json!(number.and_then(|number| position.get(Bucket(number))));
    }
    Ok(json!({"position": position.to_string(), "buckets": buckets}))
}
