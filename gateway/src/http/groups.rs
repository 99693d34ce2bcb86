//! Groups: stored positions, with lag; list, describe, store, delete.
//!
//! What GET returns PUT accepts: it stores `positions` (if `expected` holds) and leaves out what only informs.
//! Flight's action `groups.put` comes through [`put`] too.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use frazil_log::format::positions::ExpectedPosition;
use frazil_log::id::{Bucket, Name};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Doors;
use super::request::json::json_request;
use super::request::params::{check_buckets, group_list, name, no_params};
use crate::app::{Application, Ensured, Group, Stand, StoreGroup};
use crate::consume::encode::timestamp_text;
use crate::consume::position::Position;
use crate::error::Problem;

/// What a PUT says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    positions: BTreeMap<String, String>,
    #[serde(default)]
    expected: BTreeMap<String, Option<String>>,
    /// What a GET tells besides.
    #[serde(default, rename = "database")]
    _database: Value,
    #[serde(default, rename = "group")]
    _group: Value,
    #[serde(default, rename = "generation")]
    _generation: Value,
    #[serde(default, rename = "stored")]
    _stored: Value,
    #[serde(default, rename = "lag")]
    _lag: Value,
}

/// Lists the groups of a database, with their lag in rows.
#[utoipa::path(get, path = "/v1/databases/{db}/groups", tag = "groups",
    params(("prefix" = Option<String>, Query), ("limit" = Option<u32>, Query), ("after" = Option<String>, Query)),
    responses((status = 200, description = "`groups`, and `next` to go on after, or null")))]
pub(super) async fn list(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let listed = doors.app.groups(&name(&db)?, group_list(&uri)?).await?;
    let groups: Vec<Value> = listed.groups.iter().map(group_json).collect();
    Ok(Json(json!({"groups": groups, "next": listed.next})))
}

/// Where a group stands in each table, and how far behind the tail: the tail was confirmed.
#[utoipa::path(get, path = "/v1/databases/{db}/groups/{group}", tag = "groups",
    responses((status = 200, description = "`positions` by table; `lag` by table, in `rows`, and in `seconds` since the oldest row not read was committed",
        headers(("ETag" = String, description = "the group's generation")))))]
pub(super) async fn describe(
    State(doors): State<Arc<Doors>>,
    Path((db, group)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    no_params(&uri)?;
    Ok(described(StatusCode::OK, &doors.app.group(&name(&db)?, &name(&group)?).await?))
}

/// Stores positions. Buckets that are not named stay as they are; `expected` is compared with exactly the buckets that it names, and
/// null says that nothing is stored of the table yet.
#[utoipa::path(put, path = "/v1/databases/{db}/groups/{group}", tag = "groups",
    params(("If-Match" = Option<String>, Header, description = "only if the group has this generation, as ETag tells it")),
    request_body(content_type = "application/json", description = "`positions` by table, such as {\"clicks\":\"0:43\"}; `expected` by table, a position or null"),
    responses((status = 201, description = "the group is new"), (status = 200, description = "stored"),
        (status = 412, description = "another position is stored: `actual`")))]
pub(super) async fn store(
    State(doors): State<Arc<Doors>>,
    Path((db, group)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (database, group) = (name(&db)?, name(&group)?);
    let if_generation = if_match(request.headers())?;
    let body = json_request(&doors, request, "a group's positions are stored with JSON").await?;
    match put(&*doors.app, (database, group), if_generation, body).await? {
        (true, group) => Ok(described(StatusCode::CREATED, &group)),
        (false, group) => Ok(described(StatusCode::OK, &group)),
    }
}

/// Stores positions; whether the group is new, and how it stands.
pub(crate) async fn put(
    app: &dyn Application,
    (database, group): (Name, Name),
    if_generation: Option<u64>,
    body: Body,
) -> Result<(bool, Group), Problem> {
    let positions = stands(app, &database, body.positions, body.expected).await?;
    match app.store_group(StoreGroup { database, group, if_generation, positions }).await? {
        Ensured::Created(group) => Ok((true, group)),
        Ensured::Same(group) => Ok((false, group)),
        Ensured::Different(how) => Err(Problem::internal(how)),
    }
}

/// Deletes a group. A later one of the same name starts without positions.
#[utoipa::path(delete, path = "/v1/databases/{db}/groups/{group}", tag = "groups",
    params(("If-Match" = Option<String>, Header, description = "only if the group has this generation, as ETag tells it")),
    responses((status = 204, description = "deleted")))]
pub(super) async fn delete(
    State(doors): State<Arc<Doors>>,
    Path((db, group)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    no_params(&uri)?;
    doors.app.delete_group(&name(&db)?, &name(&group)?, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Positions and what is expected of them, checked against the tables.
pub(super) async fn stands(
    app: &dyn Application,
    database: &Name,
    positions: BTreeMap<String, String>,
    mut expected: BTreeMap<String, Option<String>>,
) -> Result<Vec<Stand>, Problem> {
    let mut stands = Vec::with_capacity(positions.len());
    for (table, position) in positions {
        let known = app.table(database, &name(&table)?).await?;
        let position: Position = position.parse()?;
        check_buckets(&position, known.spec.buckets)?;
        let expected = match expected.remove(&table) {
            None => ExpectedPosition::Any,
            Some(None) => ExpectedPosition::Nothing,
            Some(Some(text)) => expected_position(&text, known.spec.buckets)?,
        };
        stands.push(Stand { table: known.name, position, expected });
    }
    match expected.into_keys().next() {
        None => Ok(stands),
        Some(table) => Err(Problem::malformed(format!(
            "expected names table {table}, but positions does not: store a position with it"
        ))),
    }
}

/// A position in which `1:-` says that nothing is stored of bucket 1.
fn expected_position(text: &str, buckets: u32) -> Result<ExpectedPosition, Problem> {
    let (absent, present): (Vec<&str>, Vec<&str>) =
        text.split(',').map(str::trim).partition(|pair| pair.ends_with(":-"));
    let mut expected: BTreeMap<Bucket, Option<u64>> = BTreeMap::new();
    if !present.is_empty() {
        let position: Position = present.join(",").parse()?;
        check_buckets(&position, buckets)?;
        expected.extend(position.0.into_iter().map(|(bucket, offset)| (bucket, Some(offset))));
    }
    for pair in absent {
        let position: Position = format!("{}:0", pair.trim_end_matches(":-")).parse()?;
        check_buckets(&position, buckets)?;
        for bucket in position.0.into_keys() {
            if expected.insert(bucket, None).is_some() {
                return Err(Problem::malformed(format!("the position {text:?} names bucket {bucket} twice")));
            }
        }
    }
    Ok(ExpectedPosition::Exactly(expected))
}

/// The generation that `If-Match` names.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let generation = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    match generation {
        Some(generation) => Ok(Some(generation)),
        None => Err(Problem::malformed(format!(
            "If-Match: {value:?}: send the group's generation, as its ETag tells it"
        ))),
    }
}

fn described(status: StatusCode, group: &Group) -> Response {
    let etag = format!("\"{}\"", group.generation);
    (status, [(header::ETAG, etag)], Json(group_json(group))).into_response()
}

/// A group as the API shows it.
pub(crate) fn group_json(group: &Group) -> Value {
    let positions: Map<String, Value> = group
        .tables
        .iter()
        .map(|(table, stands)| (table.to_string(), stands.position.to_string().into()))
        .collect();
    let lag = group.tables.iter().map(|(table, stands)| {
        let mut lag = Map::from_iter([("rows".to_owned(), stands.lag.rows.into())]);
        if let Some(micros) = stands.lag.micros {
            lag.insert("seconds".to_owned(), json!(seconds(micros)));
        }
        (table.to_string(), Value::Object(lag))
    });
    json!({
        "database": group.database,
        "group": group.name,
        "generation": group.generation,
        "stored": timestamp_text(group.stored),
        "positions": positions,
        "lag": lag.collect::<Map<_, _>>(),
    })
}

/// Seconds with three places.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of any age are exact in an f64")]
fn seconds(micros: i64) -> f64 {
    (micros / 1_000) as f64 / 1_000.0
}
