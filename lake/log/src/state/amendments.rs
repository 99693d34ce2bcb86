//! What befell tables after they were created: schemas that they had, rows that expired. An optional family of the state's bytes, so
//! that the state of a log without any is spelled as it always was.
//!
//! ```text
//!   count · table id · version · count of older schemas · schemas · count of buckets · bucket · stream · earliest …
//! ```
//!
//! Only tables with something to say are there, ids ascending, and only buckets whose `earliest` is above 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tables::{Table, Tables};
use crate::error::Result;
use crate::format::slice::decode_stream;
use crate::format::spec::{decode_schema, encode_schema};
use crate::format::wire::{Reader, Writer};
use crate::id::{Bucket, Offset, Stream, TableId};
use crate::schema::Schema;

/// Whether there is anything to say of a table.
fn is_amended(table: &Table) -> bool {
    table.version > 0 || table.buckets.values().any(|tail| tail.earliest > 0)
}

/// Whether the family is there at all.
pub(super) fn any(tables: &Tables) -> bool {
    tables.all().any(is_amended)
}

pub(super) fn encode(tables: &Tables, w: &mut Writer) {
    w.count(tables.all().filter(|table| is_amended(table)).count());
    for table in tables.all().filter(|table| is_amended(table)) {
        w.varint(table.id.0);
        w.varint(table.version);
        w.count(table.schemas.len());
        table.schemas.iter().for_each(|schema| encode_schema(schema, w));
        let expired = || table.buckets.iter().filter(|(_, tail)| tail.earliest > 0);
        w.count(expired().count());
        for ((bucket, stream), tail) in expired() {
            w.varint(u64::from(bucket.0));
            w.u8(*stream as u8);
            w.varint(tail.earliest);
        }
    }
}

/// Reads the family into the tables that were read before.
pub(super) fn decode(tables: &mut Tables, r: &mut Reader<'_>) -> Result<()> {
    let mut last: Option<TableId> = None;
    for _ in 0..r.count(4)? {
        let here = r.clone();
        let id = TableId(r.varint()?);
        let version = r.counter()?;
        let schemas = r.sequence(2, |r| decode_schema(r).map(Arc::new))?;
        let Some(table) = tables.get_mut(id).filter(|_| last < Some(id)) else {
            return Err(here.corrupt("amended tables that are there, ids ascending", id));
        };
        last = Some(id);
        if !are_in_order(&schemas, table, version) {
            return Err(
                here.corrupt("older schemas, ids ascending, no more than the table was altered", version)
            );
        }
        (table.version, table.schemas) = (version, schemas);
        decode_expired(table, r)?;
        if !is_amended(table) {
            return Err(here.corrupt("a table that was amended", id));
        }
    }
    if last.is_none() {
        return Err(r.corrupt("at least one amended table", 0));
    }
    Ok(())
}

fn are_in_order(schemas: &[Arc<Schema>], table: &Table, version: u64) -> bool {
    let ids = schemas.iter().map(|schema| schema.id).chain([table.spec.schema.id]);
    schemas.len() as u64 <= version && ids.clone().zip(ids.skip(1)).all(|(one, next)| one < next)
}

fn decode_expired(table: &mut Table, r: &mut Reader<'_>) -> Result<()> {
    let mut seen: BTreeMap<(Bucket, Stream), Offset> = BTreeMap::new();
    for _ in 0..r.count(3)? {
        let here = r.clone();
        let key = (Bucket(r.number()?), decode_stream(r)?);
        let earliest = r.varint()?;
        let ascends = seen.last_key_value().is_none_or(|(last, _)| *last < key);
        let tail = table.buckets.get_mut(&key).filter(|tail| (1..=tail.next).contains(&earliest));
        let Some(tail) = tail.filter(|_| ascends) else {
            return Err(
                here.corrupt("expired buckets that are there, ascending, up to their next offset", earliest)
            );
        };
        tail.earliest = earliest;
        seen.insert(key, earliest);
    }
    Ok(())
}
