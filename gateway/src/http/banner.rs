//! What a newcomer sees at `/`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Doors;

/// Version, store, and where to go on.
#[utoipa::path(get, path = "/", tag = "process", responses((status = 200, description = "version, store and links")))]
pub(super) async fn banner(State(doors): State<Arc<Doors>>) -> Json<Value> {
    Json(json!({
        "frazil": super::VERSION,
        "store": doors.app.store(),
        "try": "curl '…/v1/databases/default/tables/clicks/rows?create=true' -d '[{\"id\":1,\"url\":\"/home\"}]'",
        "links": {
            "databases": "/v1/databases",
            "tables": "/v1/databases/default/tables",
            "openapi": "/openapi.json",
            "ready": "/ready",
            "metrics": "/metrics",
        },
    }))
}
