//! The JSON form. Rows stay text until the decoder of rows takes them: what a number says is not rounded on the way.

use axum::http::HeaderMap;
use bytes::Bytes;
use frazil_log::id::{Bucket, Offset};
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3;

use super::{Parsed, Rows};
use crate::consume::position::Position;
use crate::error::{Kind, Problem};
use crate::http::request::json::check_json;
use crate::http::request::params::{ExpectedOffset, name};
use crate::produce::decode::Format;
use crate::produce::decode::members::{Member, members};

/// Takes a JSON body apart.
pub(super) fn parse(headers: &HeaderMap, body: &Bytes) -> Result<Parsed, Problem> {
    check_json(headers, "an atomic write is JSON or multipart/form-data")?;
    let mut parsed = Parsed::default();
    let mut offsets = Vec::new();
    for member in members(body)? {
        match member.key.as_str() {
            "tables" => {
                for table in members(&member.value)? {
                    let rows = table_rows(&table)?;
                    parsed.push(rows)?;
                }
            }
            "expected_offset" => offsets = expected_offsets(&member.value)?,
            "positions" => parsed.positions = read(&member)?,
            "expected" => parsed.expected = read(&member)?,
            other => {
                return Err(Problem::unsupported(format!(
                    "member {other:?} is not known: tables, expected_offset, positions, expected"
                )));
            }
        }
    }
    parsed.expect_offsets(offsets)?;
    parsed.hash = hash(body);
    Ok(parsed)
}

/// What is said of one table.
fn table_rows(table: &Member) -> Result<Rows, Problem> {
    let mut rows = Rows {
        table: name(&table.key)?,
        format: Format::Json,
        body: Bytes::new(),
        bucket: None,
        create: false,
        expected_offset: None,
    };
    let mut given = false;
    for member in members(&table.value).map_err(|problem| problem.of_table(&table.key))? {
        match member.key.as_str() {
            "rows" => {
                given = true;
                rows.body = member.value;
            }
            "op" => check_op(&table.key, &read::<String>(&member)?)?,
            "bucket" => rows.bucket = Some(Bucket(read(&member)?)),
            "create" => rows.create = read(&member)?,
            other => {
                return Err(Problem::unsupported(format!(
                    "table {}: member {other:?} is not known: rows, op, bucket, create",
                    table.key
                )));
            }
        }
    }
    if !given {
        return Err(Problem::malformed(format!("table {}: rows are missing", table.key)));
    }
    Ok(rows)
}

/// Log tables take rows by `append`, which is also what no `op` means.
fn check_op(table: &str, op: &str) -> Result<(), Problem> {
    match op {
        "append" => Ok(()),
        "upsert" | "insert" | "update" | "delete" => Err(Problem::unsupported(format!(
            "table {table}: op={op} is not supported in this version: a log table takes append"
        ))),
        other => Err(Problem::unsupported(format!("table {table}: op={other:?} is not known: append"))),
    }
}

/// Expected tails by table: `{"orders":{"0":43}}`, or as the parameter of `rows` has them: `"0:43"`, `43`.
pub(super) fn expected_offsets(value: &Bytes) -> Result<Vec<(String, ExpectedOffset)>, Problem> {
    let tables = members(value)?.into_iter().map(|table| {
        let expected = match table.value.first() {
            Some(b'{') => {
                let wrong = || wrong_offset(&table);
                let bucket = |bucket: Member| {
                    let number = bucket.key.parse().map_err(|_| wrong())?;
                    Ok((Bucket(number), read::<Offset>(&bucket).map_err(|_| wrong())?))
                };
                let offsets = members(&table.value)?.into_iter().map(bucket);
                ExpectedOffset::Position(Position(offsets.collect::<Result<_, Problem>>()?))
            }
            Some(b'"') => ExpectedOffset::of(&read::<String>(&table)?)?,
            _ => ExpectedOffset::Number(read(&table).map_err(|_| wrong_offset(&table))?),
        };
        Ok((table.key, expected))
    });
    tables.collect()
}

fn wrong_offset(table: &Member) -> Problem {
    Problem::malformed(format!(
        "expected_offset of table {}: write {{\"0\":43}}, \"0:43\" or 43, where the table has one bucket",
        table.key
    ))
}

/// A small value.
pub(super) fn read<T: DeserializeOwned>(member: &Member) -> Result<T, Problem> {
    serde_json::from_slice(&member.value)
        .map_err(|error| Problem::new(Kind::Malformed, format!("{}: {error}", member.key)))
}

fn hash(body: &Bytes) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(b"write;json;");
    hash.update(body);
    hash.digest128()
}
