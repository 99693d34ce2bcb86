//! Databases: list, describe, ensure, drop.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Doors;
use super::request::params::{name, no_params};
use crate::app::{Database, Ensured};
use crate::error::{Kind, Problem};

/// Lists the databases.
#[utoipa::path(get, path = "/v1/databases", tag = "databases", responses((status = 200, description = "`databases`")))]
pub(super) async fn list(State(doors): State<Arc<Doors>>, uri: Uri) -> Result<Json<Value>, Problem> {
    no_params(&uri)?;
    Ok(Json(json!({"databases": doors.app.databases().await?})))
}

/// Describes a database.
#[utoipa::path(get, path = "/v1/databases/{db}", tag = "databases", responses((status = 200, body = Database)))]
pub(super) async fn describe(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    uri: Uri,
) -> Result<Json<Database>, Problem> {
    no_params(&uri)?;
    doors.app.database(&name(&db)?).await.map(Json)
}

/// Creates a database unless it is there.
#[utoipa::path(put, path = "/v1/databases/{db}", tag = "databases", responses(
    (status = 201, body = Database, description = "new"),
    (status = 200, body = Database, description = "it was there"),
))]
pub(super) async fn ensure(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    no_params(&uri)?;
    match doors.app.ensure_database(&name(&db)?).await? {
        Ensured::Created(database) => Ok((StatusCode::CREATED, Json(database)).into_response()),
        Ensured::Same(database) => Ok(Json(database).into_response()),
        Ensured::Different(difference) => Err(Problem::new(Kind::Exists, difference)),
    }
}

/// Drops a database that has no tables.
#[utoipa::path(delete, path = "/v1/databases/{db}", tag = "databases", responses((status = 204, description = "dropped")))]
pub(super) async fn drop(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    no_params(&uri)?;
    doors.app.drop_database(&name(&db)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
