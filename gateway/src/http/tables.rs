//! Tables: list, describe, ensure, drop.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use frazil_log::id::FieldId;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::schema::iceberg_json::to_json;
use frazil_log::schema::options::OPTIONS;
use frazil_log::schema::partition::partition_sql;
use frazil_log::schema::sql::columns_sql;
use frazil_log::schema::{PartitionField, TableSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Doors;
use super::request::json::{json_request, unreadable};
use super::request::params::{name, no_params, table_list};
use crate::app::{Ensured, Table};
use crate::consume::encode::timestamp_text;
use crate::error::{Kind, Problem};

/// Lists the tables of a database, or those that were dropped and can be restored.
#[utoipa::path(get, path = "/v1/databases/{db}/tables", tag = "tables",
    params(("prefix" = Option<String>, Query), ("limit" = Option<u32>, Query),
        ("after" = Option<String>, Query, description = "the `next` of the page before"),
        ("dropped" = Option<bool>, Query, description = "dropped tables, with `dropped` and `kept_until`, oldest first")),
    responses((status = 200, description = "`tables`, and `next` to go on after, or null")))]
pub(super) async fn list(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let listed = doors.app.tables(&name(&db)?, table_list(&uri)?).await?;
    let tables: Vec<Value> = listed.tables.iter().map(table_json).collect();
    Ok(Json(json!({"tables": tables, "next": listed.next})))
}

/// Describes a table.
#[utoipa::path(get, path = "/v1/databases/{db}/tables/{table}", tag = "tables",
    responses((status = 200, description = "the table: `columns` as SQL, `schema` as Iceberg's JSON; its `schema_id` is the ETag too",
        headers(("ETag" = String, description = "`schema_id` in quotes")))))]
pub(super) async fn describe(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    no_params(&uri)?;
    let table = doors.app.table_confirmed(&name(&db)?, &name(&table)?).await?;
    Ok(with_etag(&table))
}

/// A table, with its schema's number as the tag that `If-Match` takes.
pub(super) fn with_etag(table: &Table) -> Response {
    ([(header::ETAG, format!("\"{}\"", table.spec.schema.id))], Json(table_json(table))).into_response()
}

/// Creates a table unless one like it is there.
#[utoipa::path(put, path = "/v1/databases/{db}/tables/{table}", tag = "tables",
    request_body(content_type = "application/json", description = "`columns` (SQL) or `schema` (Iceberg's JSON), `partitioned_by` (Iceberg transforms such as `day(at)`), `buckets`, `bucket_by`, `options`"),
    responses((status = 201, description = "new"), (status = 200, description = "it was there, and the same"),
        (status = 409, description = "it was there, and differs")))]
pub(super) async fn ensure(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (db, table) = (name(&db)?, name(&table)?);
    let request: TableRequest = json_request(&doors, request, "a table is created with JSON").await?;
    let spec = build(&request)?;
    match doors.app.ensure_table(&db, &table, spec).await? {
        Ensured::Created(table) => Ok((StatusCode::CREATED, with_etag(&table)).into_response()),
        Ensured::Same(table) => Ok(with_etag(&table)),
        Ensured::Different(difference) => {
            Err(Problem::new(Kind::Exists, format!("table {table} is there and differs: {difference}")))
        }
    }
}

/// Drops a table. The name is free at once.
#[utoipa::path(delete, path = "/v1/databases/{db}/tables/{table}", tag = "tables", responses((status = 204, description = "dropped")))]
pub(super) async fn drop(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    no_params(&uri)?;
    doors.app.drop_table(&name(&db)?, &name(&table)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The table that a JSON object describes, as the body of a PUT does.
pub(crate) fn table_spec(described: &Value) -> Result<TableSpec, Problem> {
    let request = TableRequest::deserialize(described).map_err(|error| unreadable(&error))?;
    Ok(build(&request)?)
}

/// A table as the API shows it.
pub(crate) fn table_json(table: &Table) -> Value {
    let spec = &table.spec;
    let names = |ids: &[FieldId]| -> Vec<&str> {
        let named = |id: &FieldId| spec.schema.columns.iter().find(|column| column.id == *id);
        ids.iter().filter_map(named).map(|column| column.name.as_str()).collect()
    };
    let mut described = json!({
        "database": table.database,
        "name": table.name,
        "id": table.id,
        "uuid": table.uuid,
        "schema_id": spec.schema.id,
        "version": table.version,
        "columns": columns_sql(&spec.schema),
        "schema": to_json(&spec.schema),
        "primary_key": names(&spec.primary_key),
        "partitioned_by": spec.partitions.iter().map(|field| partition_sql(field, &spec.schema)).collect::<Vec<_>>(),
        "partition_spec": partition_json(spec),
        "buckets": spec.buckets,
        "bucket_by": names(&spec.bucket_by),
        "options": options_json(spec),
    });
    if let Some(gone) = table.gone {
        described["dropped"] = timestamp_text(gone.at).into();
        described["kept_until"] = timestamp_text(gone.kept_until).into();
    }
    described
}

/// The partition spec in Iceberg's JSON form.
fn partition_json(spec: &TableSpec) -> Value {
    let field = |field: &PartitionField| {
        json!({
            "source-id": field.source_id, "field-id": field.field_id, "name": field.name, "transform": field.transform,
        })
    };
    json!({"spec-id": 0, "fields": spec.partitions.iter().map(field).collect::<Vec<_>>()})
}

/// All options, given or default.
fn options_json(spec: &TableSpec) -> Map<String, Value> {
    let mut options = Map::new();
    for option in OPTIONS {
        let given = spec.options.iter().find(|(name, _)| name == option.name);
        options.insert(option.name.to_owned(), given.map_or(option.default, |(_, value)| value).into());
    }
    options
}
