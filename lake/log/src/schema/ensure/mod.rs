//! Making a table's spec from a request, comparing two, and checking one that comes from elsewhere.
//!
//! * [`build`] is the door: what `PUT …/tables/{t}` asks for, checked against all that this version can do;
//! * [`difference()`] answers "is that the table that is there?" (PUT is *ensure*);
//! * [`validate()`] is the fold's: whether a spec from the log, or from a stranger, makes sense at all.
//!
//! Invariants:
//! * what `build` makes, `validate` takes, and `difference` finds nothing between it and itself;
//! * `validate` decides a verdict, so it depends on nothing but the spec and never changes without a feature bit: it takes
//!   what later versions will build (keys, partitions, options that are not known here).

mod difference;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::bucket::BUCKET_FUNCTION;
use super::check::{check_columns, same_unicode};
use super::iceberg_json::from_json;
use super::ids::{FIELD_ID_MAX, fill_ids, highest_id};
use super::options::canonical;
use super::partition::parse_partitions;
use super::shown::{cut, shown};
use super::sql::parse_columns;
use super::{Column, PseudoIds, Schema, TableSpec, TimestampUnit, Type};
use crate::error::{Error, Result};
use crate::id::FieldId;

pub use difference::difference;
pub use validate::{validate, validate_altered};

/// Buckets of a table.
pub const BUCKETS_MAX: u32 = 1_024;

/// What `PUT …/tables/{t}` asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableRequest {
    /// The columns as SQL, such as `id BIGINT NOT NULL, url STRING`; this or `schema`.
    pub columns: Option<String>,
    /// The columns in Iceberg's JSON form; this or `columns`.
    pub schema: Option<Value>,
    /// Names of the primary key's columns; none for a log table.
    pub primary_key: Vec<String>,
    /// Partition transforms such as `day(at)`.
    pub partitioned_by: Vec<String>,
    /// How many buckets; 1 if it is not given.
    pub buckets: Option<u32>,
    /// Names of the columns that choose the bucket; none: sticky.
    pub bucket_by: Vec<String>,
    /// Options by name.
    pub options: BTreeMap<String, Value>,
}

/// The spec of the table that a request asks for.
///
/// # Errors
/// Invalid: says what is wrong and what to write. Unsupported: names the parameter, type or option not there yet.
pub fn build(request: &TableRequest) -> Result<TableSpec> {
    let columns = match (&request.columns, &request.schema) {
        (Some(text), None) => parse_columns(text)?,
        (None, Some(schema)) => from_json(schema)?,
        (Some(_), Some(_)) => return Err(Error::invalid("give columns or schema, not both")),
        (None, None) => {
            return Err(Error::invalid(
                "give columns such as \"id BIGINT NOT NULL, url STRING\", or schema in Iceberg's JSON form",
            ));
        }
    };
    build_with(columns, request)
}

/// The spec of a table of given columns (inferred ones, for example); all else as the request says. Fields whose id is 0
/// get one.
///
/// # Errors
/// As [`build`].
pub fn build_with(mut columns: Vec<Column>, request: &TableRequest) -> Result<TableSpec> {
    refuse_planned(request)?;
    fill_ids(&mut columns);
    check_columns(&columns, same_unicode)?;
    refuse_nanos(&columns)?;
    let options = canonical(&request.options)?;
    let buckets = request.buckets.unwrap_or(1);
    if !(1..=BUCKETS_MAX).contains(&buckets) {
        return Err(Error::invalid(format!("buckets is {buckets}: give a number from 1 to {BUCKETS_MAX}")));
    }
    let bucket_by = bucket_columns(&columns, &request.bucket_by)?;
    let partitions = parse_partitions(&request.partitioned_by, &columns)?;
    let highest = highest_id(&columns);
    if highest > FIELD_ID_MAX - 3 {
        return Err(Error::invalid(format!(
            "field id {highest} leaves no room for the ids of __bucket, __offset, __timestamp: give ids up to {}",
            FIELD_ID_MAX - 3
        )));
    }
    let pseudo = PseudoIds { bucket: highest + 1, offset: highest + 2, timestamp: highest + 3 };
    let spec = TableSpec {
        schema: Schema { id: 0, columns },
        last_column_id: pseudo.timestamp,
        pseudo,
        primary_key: Vec::new(),
        buckets,
        bucket_by,
        bucket_function: BUCKET_FUNCTION,
        partitions,
        options,
    };
    validate(&spec)?;
    Ok(spec)
}

fn refuse_planned(request: &TableRequest) -> Result<()> {
    if !request.primary_key.is_empty() {
        return Err(Error::unsupported(
            "primary_key is not there yet: leave it out, the table is a log table",
        ));
    }
    Ok(())
}

/// Refuses types that need what is not there yet.
pub(super) fn refuse_nanos(columns: &[Column]) -> Result<()> {
    match columns.iter().find(|column| has_nanos(&column.ty)) {
        None => Ok(()),
        Some(column) => Err(Error::unsupported(format!(
            "column {}: TIMESTAMP(9) needs the option format-version=3, which is not there yet: use TIMESTAMP(6)",
            shown(&column.name)
        ))),
    }
}

fn has_nanos(ty: &Type) -> bool {
    match ty {
        Type::Timestamp { unit, .. } => *unit == TimestampUnit::Nanos,
        Type::List(element) => has_nanos(&element.ty),
        Type::Map(key, value) => has_nanos(&key.ty) || has_nanos(&value.ty),
        Type::Struct(fields) => fields.iter().any(|field| has_nanos(&field.ty)),
        _ => false,
    }
}

fn bucket_columns(columns: &[Column], names: &[String]) -> Result<Vec<FieldId>> {
    let mut seen = BTreeSet::new();
    let mut ids = Vec::with_capacity(names.len().min(columns.len()));
    for name in names {
        let same = same_unicode(name);
        let Some(column) = columns.iter().find(|column| same_unicode(&column.name) == same) else {
            let known: Vec<String> = columns.iter().take(20).map(|column| shown(&column.name)).collect();
            let more = if columns.len() > 20 { ", …" } else { "" };
            let known = known.join(", ");
            return Err(Error::invalid(format!(
                "bucket_by: there is no column {}; columns are {known}{more}",
                shown(name)
            )));
        };
        if !column.ty.is_bucketable() {
            return Err(Error::invalid(format!(
                "bucket_by: column {} is {}, which cannot choose a bucket: use one of INT, BIGINT, DECIMAL, DATE, TIME, \
                 TIMESTAMP, STRING, UUID, FIXED, BINARY",
                shown(&column.name),
                cut(&column.ty.to_string(), 200)
            )));
        }
        if !seen.insert(column.id) {
            return Err(Error::invalid(format!(
                "bucket_by: column {} is named twice: name it once",
                shown(name)
            )));
        }
        ids.push(column.id);
    }
    Ok(ids)
}
