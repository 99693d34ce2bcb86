//! The atomic write: rows of several tables and positions of several groups, all in one slot or not at all.
//!
//! Invariants:
//! * one request is one proposal, whatever its form (`json`, `multipart`);
//! * what goes wrong with rows names their table, as in `/tables/orders/rows/2/total`;
//! * a retry that sends the same parts is the same request, whatever boundary lies between them.

mod json;
mod multipart;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use frazil_log::id::{Bucket, Name};
use frazil_log::schema::sql::columns_sql;

use super::Doors;
use super::evolved::changed_since;
use super::groups::stands;
use super::request::params::{ExpectedOffset, WriteParams, name, producer};
use super::rows::{CHANGES_MAX, rows, target};
use crate::app::{Part, Stand, Write, WriteAck};
use crate::error::{Kind, Problem};
use crate::memory::Held;
use crate::produce::decode::{Format, Limits};

/// The most tables of a request.
const TABLES_MAX: usize = 100;

/// The most groups of a request.
const GROUPS_MAX: usize = 100;

/// Positions (or what is expected of them) by group and table.
type ByGroup<T> = BTreeMap<String, BTreeMap<String, T>>;

/// A request that was taken apart; its rows are still bytes.
#[derive(Debug, Default)]
struct Parsed {
    parts: Vec<Rows>,
    positions: ByGroup<String>,
    expected: ByGroup<Option<String>>,
    /// See [`Write::request_hash`].
    hash: u128,
}

/// The rows of a table.
#[derive(Debug)]
struct Rows {
    table: Name,
    format: Format,
    body: Bytes,
    bucket: Option<Bucket>,
    create: bool,
    expected_offset: Option<ExpectedOffset>,
}

/// Writes rows of several tables and positions of groups: all of it in one slot, or nothing.
#[utoipa::path(post, path = "/v1/databases/{db}/write", tag = "rows",
    params(
        ("timeout" = Option<String>, Query, description = "how long to wait for the verdict, such as 10s"),
        ("create" = Option<bool>, Query, description = "create tables from their rows if they are not there"),
        ("Producer-Id" = Option<String>, Header), ("Producer-Epoch" = Option<u64>, Header), ("Producer-Seq" = Option<u64>, Header),
    ),
    request_body(description = "JSON: `tables` ({\"orders\":{\"rows\":[…]}}), `expected_offset` by table and bucket, `positions` and `expected` by group and table; or a form whose parts are \
        tables, each in any format that rows take, and `__expected_offset`, `__positions`, `__expected` as JSON",
        content((serde_json::Value = "application/json"), (String = "multipart/form-data"))),
    responses((status = 200, body = WriteAck, description = "all of it is durable")))]
pub(super) async fn write(
    State(doors): State<Arc<Doors>>,
    Path(db): Path<String>,
    request: Request,
) -> Result<Json<WriteAck>, Problem> {
    let database = name(&db)?;
    let params = WriteParams::of(request.uri())?;
    let (head, body) = request.into_parts();
    let producer = producer(&head.headers)?;
    let admitted = doors.bodies.read(&head.headers, body).await?;
    let (parsed, _copies) = take_apart(&doors, &head.headers, &admitted.bytes).await?;
    parsed.check()?;
    for _ in 0..CHANGES_MAX {
        let began = tokio::time::Instant::now();
        let Some(parts) = parts(&doors, &database, &parsed, params.create).await? else { continue };
        let created: BTreeMap<String, String> = parts.iter().filter_map(created).collect();
        let request = Write {
            database: database.clone(),
            parts,
            groups: groups(&doors, &database, &parsed).await?,
            producer: producer.clone(),
            request_hash: parsed.hash,
            timeout: params.timeout.unwrap_or(doors.options.request_deadline),
            decode_time: began.elapsed(),
        };
        match doors.app.write(request).await {
            Err(problem) if problem.kind() == Kind::Exists && !created.is_empty() => {}
            // Nothing was written and no sequence used up: the rows are decoded again for what the tables are now.
            Err(problem) if problem.kind() == Kind::SchemaChanged && producer.is_none() => {}
            Err(problem) => return Err(problem),
            Ok(mut ack) => {
                for (table, words) in created.into_iter().filter(|_| !ack.duplicate) {
                    ack.tables.entry(table).and_modify(|table| table.created = Some(words));
                }
                return Ok(Json(ack));
            }
        }
    }
    Err(Problem::new(Kind::SchemaChanged, "a table changed again and again while the request was on its way"))
}

/// The request's parts. Those of a form are copies, for which there must be memory too.
async fn take_apart(
    doors: &Doors,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Parsed, Option<Held>), Problem> {
    if !multipart::is_form(headers)? {
        return Ok((json::parse(headers, body)?, None));
    }
    let copies = doors.bodies.reserve(body.len()).await?;
    Ok((multipart::parse(headers, body.clone()).await?, Some(copies)))
}

impl Parsed {
    fn check(&self) -> Result<(), Problem> {
        if self.parts.is_empty() && self.positions.is_empty() {
            return Err(Problem::malformed("the request names neither tables nor positions"));
        }
        let groups = self.positions.len();
        if self.parts.len() > TABLES_MAX || groups > GROUPS_MAX {
            return Err(Problem::new(
                Kind::TooLarge,
                format!("at most {TABLES_MAX} tables and {GROUPS_MAX} groups in a request"),
            ));
        }
        match self.expected.keys().find(|group| !self.positions.contains_key(*group)) {
            None => Ok(()),
            Some(group) => Err(Problem::malformed(format!(
                "expected names group {group}, but positions does not: store a position with it"
            ))),
        }
    }

    /// Notes which tails are expected; each table must have rows in the request.
    fn expect_offsets(&mut self, offsets: Vec<(String, ExpectedOffset)>) -> Result<(), Problem> {
        for (table, offset) in offsets {
            let Some(rows) = self.parts.iter_mut().find(|rows| rows.table.as_str() == table) else {
                return Err(Problem::malformed(format!(
                    "expected_offset names table {table}, but the request has no rows for it"
                )));
            };
            rows.expected_offset = Some(offset);
        }
        Ok(())
    }

    fn push(&mut self, rows: Rows) -> Result<(), Problem> {
        if self.parts.iter().any(|known| known.table == rows.table) {
            return Err(Problem::malformed(format!("table {} is given twice", rows.table)));
        }
        self.parts.push(rows);
        Ok(())
    }
}

/// Decodes the rows of each table; together they take no more memory than those of one request may. Nothing if a table that rows did
/// not fit has been altered meanwhile.
async fn parts(
    doors: &Doors,
    db: &Name,
    parsed: &Parsed,
    create: bool,
) -> Result<Option<Vec<Part>>, Problem> {
    let mut left = doors.options.decode.decoded_bytes_max;
    let mut parts = Vec::with_capacity(parsed.parts.len());
    for given in &parsed.parts {
        let known = target(doors, db, &given.table, create || given.create).await?;
        let limits = Limits { decoded_bytes_max: left };
        let in_table = |problem: Problem| problem.of_table(given.table.as_str());
        let decoded = rows(limits, given.format, given.body.clone(), known.as_ref()).await;
        let (batch, create) = match (decoded.map_err(in_table), &known) {
            (Ok(rows), _) => rows,
            (Err(problem), Some(known)) if problem.kind() == Kind::InvalidRows => {
                changed_since(doors, db, known, problem).await?;
                return Ok(None);
            }
            (Err(problem), _) => return Err(problem),
        };
        left = left.saturating_sub(batch.get_array_memory_size());
        let buckets = known.as_ref().map_or(1, |table| table.spec.buckets);
        let expected = given.expected_offset.as_ref();
        parts.push(Part {
            table: given.table.clone(),
            checked: known.map(|table| (table.id, table.spec.schema.id)),
            create,
            batch,
            bucket: given.bucket,
            expected_offset: expected
                .map(|it| it.resolve(given.bucket, buckets))
                .transpose()
                .map_err(in_table)?,
        });
    }
    Ok(Some(parts))
}

/// Where groups are to stand, checked against the tables.
async fn groups(doors: &Doors, db: &Name, parsed: &Parsed) -> Result<Vec<(Name, Vec<Stand>)>, Problem> {
    let mut groups = Vec::with_capacity(parsed.positions.len());
    for (group, positions) in &parsed.positions {
        let expected = parsed.expected.get(group).cloned().unwrap_or_default();
        groups.push((name(group)?, stands(&*doors.app, db, positions.clone(), expected).await?));
    }
    Ok(groups)
}

/// The name of a table that the request would create, and its words.
fn created(part: &Part) -> Option<(String, String)> {
    let spec = part.create.as_ref()?;
    Some((part.table.to_string(), format!("{} ({})", part.table, columns_sql(&spec.schema))))
}
