//! Rows of a table: produce and consume.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use frazil_log::id::Name;
use frazil_log::schema::ensure::{TableRequest, build_with};
use frazil_log::schema::sql::columns_sql;
use frazil_log::schema::{Schema, TableSpec};
use xxhash_rust::xxh3::Xxh3;

use super::evolved::changed_since;
use super::request::params::{
    ConsumeParams, EVENTS, ExpectedOffset, ProduceParams, name, no_such_bucket, producer,
};
use super::{Doors, answer};
use crate::app::{Ack, Consume, Page, Produce, Table};
use crate::consume::encode::Encoder;
use crate::consume::encode::projection::Projection;
use crate::consume::follow::{PLACE, Style, follow};
use crate::consume::position::Position;
use crate::error::{Kind, Problem};
use crate::produce::decode::infer::infer;
use crate::produce::decode::{Format, Limits, decode};
use crate::worker::on_worker;

/// How often a request is looked at again because its table was created or altered meanwhile.
pub(super) const CHANGES_MAX: usize = 3;

/// Appends rows to a log table: all of them or none, answered when durable.
#[utoipa::path(post, path = "/v1/databases/{db}/tables/{table}/rows", tag = "rows",
    params(
        ("bucket" = Option<u32>, Query, description = "the bucket of all rows"),
        ("expected_offset" = Option<String>, Query, description = "append only if the tail is here: an offset, or 0:43,1:17"),
        ("timeout" = Option<String>, Query, description = "how long to wait for the verdict, such as 10s"),
        ("create" = Option<bool>, Query, description = "create the table from the rows if it is not there"),
        ("format" = Option<String>, Query, description = "json, ndjson, csv, arrow or otlp (OTLP/HTTP JSON logs, answered with {}); else by Content-Type"),
        ("Producer-Id" = Option<String>, Header), ("Producer-Epoch" = Option<u64>, Header), ("Producer-Seq" = Option<u64>, Header),
    ),
    request_body(description = "JSON, NDJSON, CSV or an Arrow stream", content((serde_json::Value = "application/json"),
        (String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))),
    responses((status = 200, body = Ack, description = "the rows are durable")))]
pub(super) async fn produce(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (db, table) = (name(&db)?, name(&table)?);
    let params = ProduceParams::of(request.uri())?;
    let (head, body) = request.into_parts();
    let producer = producer(&head.headers)?;
    let admitted = doors.bodies.read(&head.headers, body).await?;
    let format = match params.format {
        Some(format) => format,
        None => Format::of(content_type(&head.headers)?, &admitted.bytes)?,
    };
    let request_hash = request_hash(&params, format, &admitted.bytes);

    for _ in 0..CHANGES_MAX {
        let target = target(&doors, &db, &table, params.create).await?;
        let began = tokio::time::Instant::now();
        let (batch, create) =
            match rows(doors.options.decode, format, admitted.bytes.clone(), target.as_ref()).await {
                Ok(rows) => rows,
                Err(problem) if problem.kind() == Kind::InvalidRows => match &target {
                    Some(known) => {
                        changed_since(&doors, &db, known, problem).await?;
                        continue;
                    }
                    None => return Err(problem),
                },
                Err(problem) => return Err(problem),
            };
        let decode_time = began.elapsed();
        let buckets = target.as_ref().map_or(1, |table| table.spec.buckets);
        let created = create.as_ref().map(|spec| format!("{table} ({})", columns_sql(&spec.schema)));
        let request = Produce {
            database: db.clone(),
            table: table.clone(),
            checked: target.map(|table| (table.id, table.spec.schema.id)),
            create,
            batch,
            bucket: params.bucket,
            expected_offset: expected_offset(&params, buckets)?,
            producer: producer.clone(),
            request_hash,
            timeout: params.timeout.unwrap_or(doors.options.request_deadline),
            decode_time,
        };
        match doors.app.produce(request).await {
            Err(problem) if problem.kind() == Kind::Exists && created.is_some() => {}
            // Nothing was written and no sequence used up: the rows are decoded again for what the table is now.
            Err(problem) if problem.kind() == Kind::SchemaChanged && producer.is_none() => {}
            Err(problem) => return Err(problem),
            Ok(ack) => {
                let created = created.filter(|_| !ack.duplicate);
                // What exporters of OTLP know as: all of it was taken.
                if format == Format::Otlp {
                    return Ok(Json(serde_json::json!({})).into_response());
                }
                return Ok(Json(Ack { created, ..ack }).into_response());
            }
        }
    }
    Err(Problem::new(
        Kind::SchemaChanged,
        format!("table {table} changed again and again while the request was on its way"),
    ))
}

/// The table to append to; none if it is to be created.
pub(super) async fn target(
    doors: &Doors,
    db: &Name,
    table: &Name,
    create: bool,
) -> Result<Option<Table>, Problem> {
    match doors.app.table(db, table).await {
        Ok(table) => Ok(Some(table)),
        Err(problem) if create && problem.kind() == Kind::NoSuchTable => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// The rows of a body, and the table that they would create.
pub(super) async fn rows(
    limits: Limits,
    format: Format,
    body: Bytes,
    target: Option<&Table>,
) -> Result<(RecordBatch, Option<TableSpec>), Problem> {
    let known: Option<Schema> = target.map(|table| table.spec.schema.clone());
    on_worker(body.len(), move || match known {
        Some(schema) => Ok((decode(format, &body, &schema, &limits)?, None)),
        None => {
            let spec = build_with(infer(format, &body)?, &TableRequest::default())?;
            Ok((decode(format, &body, &spec.schema, &limits)?, Some(spec)))
        }
    })
    .await
}

fn expected_offset(params: &ProduceParams, buckets: u32) -> Result<Option<Position>, Problem> {
    if let Some(bucket) = params.bucket
        && bucket.0 >= buckets
    {
        return Err(no_such_bucket(bucket, buckets));
    }
    params.expected_offset.as_ref().map(|expected| expected.resolve(params.bucket, buckets)).transpose()
}

fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str).transpose();
    value.map_err(|_| Problem::malformed("header Content-Type is not text"))
}

/// XXH3-128 of what the request means besides its table: the parameters that change it, and the body's bytes (rule 3).
fn request_hash(params: &ProduceParams, format: Format, body: &[u8]) -> u128 {
    let bucket = params.bucket.map_or_else(String::new, |bucket| bucket.to_string());
    let expected = match &params.expected_offset {
        None => String::new(),
        Some(ExpectedOffset::Number(offset)) => offset.to_string(),
        Some(ExpectedOffset::Position(position)) => position.to_string(),
    };
    let format = match format {
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::ArrowStream => "arrow",
        Format::Csv => "csv",
        Format::Otlp => "otlp",
    };
    let mut hash = Xxh3::new();
    hash.update(format!("rows;format={format};bucket={bucket};expected_offset={expected};").as_bytes());
    hash.update(body);
    hash.digest128()
}

/// Reads rows of a log table.
#[utoipa::path(get, path = "/v1/databases/{db}/tables/{table}/rows", tag = "rows",
    params(
        ("from" = Option<String>, Query, description = "earliest (default), latest, an offset, a position (0:43,1:17), a time (RFC 3339) or how long ago (-15m)"),
        ("group" = Option<String>, Query, description = "begin where this group stands, and at `from` in buckets where it does not"),
        ("bucket" = Option<u32>, Query, description = "only this bucket"),
        ("columns" = Option<String>, Query, description = "names, * and __bucket, __offset, __timestamp, __op"),
        ("filter" = Option<String>, Query, description = "only rows of which this SQL is true: comparisons, AND, OR, NOT, IN, BETWEEN, IS NULL, LIKE 'p%'; a page may then be empty and Frazil-Next has moved"),
        ("limit" = Option<u32>, Query, description = "rows of an answer; 1000 if it is not given"),
        ("max_bytes" = Option<String>, Query, description = "bytes of an answer, such as 8MiB"),
        ("wait" = Option<String>, Query, description = "how long to wait for the first row, such as 10s"),
        ("follow" = Option<bool>, Query, description = "never end; `limit` and `max_bytes` then bound each piece"),
        ("format" = Option<String>, Query, description = "json, ndjson, csv, arrow or sse (an event a row, never ending); else by Accept"),
        ("Last-Event-ID" = Option<String>, Header, description = "events only: where to go on"),
    ),
    responses((status = 200, description = "the rows",
        headers(("Frazil-Next" = String, description = "where to go on (not when following)"),
            ("Frazil-Caught-Up" = bool, description = "whether that is the tail, confirmed")),
        content((serde_json::Value = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (String = "text/event-stream"), (Vec<u8> = "application/vnd.apache.arrow.stream")))))]
pub(super) async fn consume(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read(&doors, (&db, &table), ConsumeParams::of(&uri, &headers, "*")?).await
}

/// Reads the changes of a table. Those of a log table are its rows, each `+I`; `from=snapshot` begins with the first that is kept.
#[utoipa::path(get, path = "/v1/databases/{db}/tables/{table}/changes", tag = "rows",
    params(
        ("from" = Option<String>, Query, description = "as for rows, and snapshot: what is there, then what comes"),
        ("group" = Option<String>, Query, description = "as for rows"),
        ("bucket" = Option<u32>, Query), ("filter" = Option<String>, Query), ("limit" = Option<u32>, Query),
        ("max_bytes" = Option<String>, Query), ("wait" = Option<String>, Query), ("follow" = Option<bool>, Query),
        ("columns" = Option<String>, Query, description = "as for rows; `__op,*` if it is not given"),
        ("format" = Option<String>, Query, description = "json, ndjson, csv, arrow or sse; else by Accept"),
        ("Last-Event-ID" = Option<String>, Header, description = "events only: where to go on"),
    ),
    responses((status = 200, description = "the changes, as rows",
        content((serde_json::Value = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (String = "text/event-stream"), (Vec<u8> = "application/vnd.apache.arrow.stream")))))]
pub(super) async fn changes(
    State(doors): State<Arc<Doors>>,
    Path((db, table)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read(&doors, (&db, &table), ConsumeParams::of(&uri, &headers, "__op,*")?).await
}

async fn read(doors: &Doors, (db, table): (&str, &str), params: ConsumeParams) -> Result<Response, Problem> {
    let (db, table) = (name(db)?, name(table)?);
    let known = doors.app.table(&db, &table).await?;
    let (request, projection, page) = first_page(doors, &db, known, &params).await?;
    if params.follow || params.events {
        let style = params.style();
        let (app, columns) = (Arc::clone(&doors.app), params.columns);
        let kept = doors.options.follows.clone();
        let body = Body::from_stream(follow(app, request, columns, &projection, style, (page, kept)));
        let content_type = if style == Style::Events { EVENTS } else { params.format.content_type() };
        // Nobody on the way may keep a stream to himself until it ends.
        let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache")];
        return Ok((headers, body).into_response());
    }
    let (next, caught_up) = (page.next.to_string(), page.caught_up);
    let size = page.batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let Page { batches, held, .. } = page;
    let pieces =
        on_worker(size, move || Encoder::new(projection.columns().to_vec()).pieces(params.format, &batches))
            .await?;
    let length = HeaderValue::from(pieces.iter().map(Bytes::len).sum::<usize>());
    let body = answer::body(pieces, held);
    let mut response = ([(header::CONTENT_TYPE, params.format.content_type())], body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    let next =
        HeaderValue::from_str(&next).map_err(|_| Problem::internal("a position is not a header's text"))?;
    response.headers_mut().insert("frazil-next", next);
    response
        .headers_mut()
        .insert("frazil-caught-up", HeaderValue::from_static(if caught_up { "true" } else { "false" }));
    Ok(response)
}

/// The first page. Looked up again while the table changes meanwhile, or while this gateway has not heard of a column.
async fn first_page(
    doors: &Doors,
    db: &Name,
    mut known: Table,
    params: &ConsumeParams,
) -> Result<(Consume, Projection, Page), Problem> {
    for _ in 0..CHANGES_MAX {
        let (mut request, projection) = match params.ask(&known) {
            Ok(asked) => asked,
            Err(problem) if problem.kind() == Kind::Unsupported => {
                changed_since(doors, db, &known, problem).await?;
                known = doors.app.table(db, &known.name).await?;
                continue;
            }
            Err(problem) => return Err(problem),
        };
        if params.style() == Style::Events {
            request.columns.extend(PLACE);
        }
        match doors.app.consume(request.clone()).await {
            Err(problem) if problem.kind() == Kind::SchemaChanged => {
                known = doors.app.table(db, &known.name).await?;
            }
            page => return Ok((request, projection, page?)),
        }
    }
    Err(Problem::new(Kind::SchemaChanged, format!("table {} changes faster than it can be read", known.name)))
}
