//! Tables that change: alter and restore.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use frazil_log::id::{SchemaId, Uuid};
use frazil_log::schema::evolution::AlterRequest;
use serde_json::Value;

use super::Doors;
use super::request::json::json_request;
use super::request::params::{Params, name};
use super::tables::{table_json, with_etag};
use crate::app::{Alter, Dropped};
use crate::error::Problem;

/// Changes a table: all changes of the list, or none.
#[utoipa::path(patch, path = "/v1/databases/{db}/tables/{table}", tag = "tables",
    params(("If-Match" = Option<String>, Header, description = "only if the table's schema is this: its `schema_id` in quotes")),
    request_body(content_type = "application/json",
        description = "`{\"alter\":[…]}`, each change one of `{\"add\":{\"name\",\"type\",\"comment\",\"first\"|\"after\"|\"before\"}}`, \
            `{\"rename\":{\"from\",\"to\"}}`, `{\"widen\":{\"column\",\"type\",\"required\":false}}`, `{\"drop\":column}`, \
            `{\"move\":{\"column\",\"first\"|\"after\"|\"before\"}}`, `{\"set\":{option:value}}`, `{\"unset\":option}`"),
    responses((status = 200, description = "the table as it is now"), (status = 412, description = "its schema is another: `current`"),
        (status = 422, description = "a change that cannot be made: none was")))]
pub(super) async fn alter(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (db, table) = (name(&db)?, name(&table)?);
    let expected = if_match(request.headers())?;
    let AlterRequest { alter } = json_request(&doors, request, "a table is altered with JSON").await?;
    let altered = doors.app.alter_table(&db, &table, Alter { changes: alter, expected }).await?;
    Ok(with_etag(&altered))
}

/// Brings back a table that was dropped less than 24 hours ago.
#[utoipa::path(post, path = "/v1/databases/{db}/tables/{table}/restore", tag = "tables",
    params(("table" = String, Path, description = "its name, or its UUID: the newest dropped one of a name is restored"),
        ("uuid" = Option<String>, Query, description = "the one of this UUID")),
    responses((status = 200, description = "the table, back under its name"), (status = 409, description = "the name is taken"),
        (status = 404, description = "no such table was dropped, or too long ago")))]
pub(super) async fn restore(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let db = name(&db)?;
    let mut params = Params::of(&uri)?;
    let uuid = params.take("uuid");
    params.finish()?;
    let parsed = uuid.as_deref().map(|text| {
        Uuid::parse_str(text)
            .map_err(|_| Problem::malformed(format!("uuid={text:?}: write a UUID such as describe shows")))
    });
    let which = match (parsed.transpose()?, Uuid::parse_str(&table)) {
        (Some(uuid), _) | (None, Ok(uuid)) => Dropped::Uuid(uuid),
        (None, Err(_)) => Dropped::Named(name(&table)?),
    };
    let restored = doors.app.restore_table(&db, which).await?;
    Ok(Json(table_json(&restored)))
}

/// The schemas that `If-Match` allows; nothing if it allows any.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<SchemaId>>, Problem> {
    let mut expected = Vec::new();
    let mut given = false;
    for value in headers.get_all(header::IF_MATCH) {
        given = true;
        let text = value.to_str().map_err(|_| Problem::malformed("header If-Match is not text"))?;
        if text.trim() == "*" {
            return Ok(None);
        }
        for tag in text.split(',').map(str::trim) {
            // A tag of another form is nobody's: it matches no schema.
            let id = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).or_else(|| bare_number(tag));
            expected.extend(id.and_then(|id| id.parse::<SchemaId>().ok()));
        }
    }
    Ok(given.then_some(expected))
}

/// A schema's number whose quotes a shell has eaten.
fn bare_number(tag: &str) -> Option<&str> {
    tag.bytes().all(|byte| byte.is_ascii_digit()).then_some(tag)
}
