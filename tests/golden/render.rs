//! What a golden object says, as JSON for people.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use frazil_log::format::checkpoint::Checkpoint;
use frazil_log::format::commit::Commit;
use frazil_log::format::page::{PageHeader, PlaceMap};
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::{Slice, SliceHome};
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::segment::{BodyPlace, decode};
use frazil_log::state::{Applied, State};
use serde::Serialize;
use serde_json::{Value, json};

use crate::rows;

/// A value as it would stand in a rendering of its own.
fn shown(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("it has string keys and no 128-bit numbers")
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

pub(crate) fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a value is JSON");
    text.push('\n');
    text
}

pub(crate) fn commit(commit: &Commit, bytes: &Bytes) -> Value {
    let rows = rows_of(&commit.header.slices, bytes, commit.envelope.body_start());
    json!({
        "envelope": shown(&commit.envelope),
        "entries_hash": hex(commit.entries_hash),
        "header": shown(&commit.header),
        "rows": rows,
    })
}

pub(crate) fn segment(
    envelope: &impl Serialize,
    header: &SegmentHeader,
    bytes: &Bytes,
    body_start: u64,
) -> Value {
    json!({
        "envelope": shown(envelope),
        "header": shown(header),
        "rows": rows_of(&header.slices, bytes, body_start),
    })
}

/// The rows of the slices that are at home in the object, by slice and row, each a list of values as text.
fn rows_of(slices: &[Slice], object: &Bytes, body_start: u64) -> Vec<Value> {
    let here = slices.iter().filter(|slice| slice.home == SliceHome::Here);
    here.map(|slice| slice_rows(slice, object, body_start)).collect()
}

fn slice_rows(slice: &Slice, object: &Bytes, body_start: u64) -> Value {
    let spec = spec_of(slice);
    let fields = arrow_schema(&spec.schema).fields().to_vec();
    let range = slice.object_range(body_start);
    let at = |at: u64| usize::try_from(at).expect("a golden object is small");
    let bytes = object.slice(at(range.start)..at(range.end));
    let place = BodyPlace { object: "golden", start: body_start };
    let batches = decode(slice, &bytes, &fields, &place).expect("the rows can be decoded");
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(without_zone).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a known type"))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>());
        }
    }
    json!(rows)
}

/// A column as its wall clock in UTC: Arrow shows zones only with a table of them.
fn without_zone(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Arc::new(
            column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<&str>),
        ),
        DataType::Timestamp(_, Some(_)) => {
            Arc::new(column.as_primitive::<TimestampNanosecondType>().clone().with_timezone_opt(None::<&str>))
        }
        _ => Arc::clone(column),
    }
}

/// The table that a slice's columns are of: golden objects know three.
fn spec_of(slice: &Slice) -> TableSpec {
    let known = [
        rows::every_type(),
        rows::spec("id BIGINT NOT NULL, url STRING"),
        rows::spec("id BIGINT NOT NULL, url STRING, op INT NOT NULL"),
    ];
    let columns = |spec: &TableSpec| spec.schema.columns.iter().map(|column| column.id).collect::<Vec<_>>();
    known.into_iter().find(|spec| columns(spec) == slice.columns).expect("columns of a golden table")
}

pub(crate) fn page(envelope: &impl Serialize, header: &PageHeader, places: &PlaceMap) -> Value {
    let places: Vec<Value> =
        places.iter().map(|(key, places)| json!({ "key": shown(key), "places": shown(places) })).collect();
    json!({ "envelope": shown(envelope), "header": shown(header), "parts": places })
}

pub(crate) fn checkpoint(envelope: &impl Serialize, checkpoint: &Checkpoint, folded: &State) -> Value {
    json!({
        "envelope": shown(envelope),
        "header": shown(&checkpoint.header),
        "pages": shown(&checkpoint.pages),
        "state": state(folded),
    })
}

pub(crate) fn state(state: &State) -> Value {
    let tables = state.tables().all().map(|table| {
        let mut shown = shown(table);
        let buckets = table.buckets.iter();
        let buckets = buckets.map(|((bucket, stream), tail)| json!([bucket, stream, tail.next, tail.rolled]));
        shown["buckets: bucket, stream, next, rolled"] = buckets.collect();
        shown
    });
    let producers = state.producers().iter().map(|(id, producer)| {
        let recent = producer.recent().map(|(seq, hash, verdict)| {
            json!({ "seq": seq, "request_hash": hex(hash), "verdict": shown(verdict) })
        });
        json!({
            "id": id,
            "epoch": producer.epoch,
            "next": producer.next,
            "last_time": producer.last_time,
            "recent": recent.collect::<Vec<_>>(),
        })
    });
    let names = state.names().iter().map(|(name, base, fate)| json!([name.to_string(), base, shown(fate)]));
    let mut rendered = json!({
        "identity": shown(state.identity()),
        "alive": state.is_alive(),
        "next": state.next(),
        "log_hash": hex(state.log_hash()),
        "time": state.time(),
        "boundary": state.boundary(),
        "next_table": state.tables().next_id(),
        "tables": tables.collect::<Vec<_>>(),
        "producers": producers.collect::<Vec<_>>(),
        "names: name, base, fate": names.collect::<Vec<_>>(),
    });
    // Families that came later: absent where there is nothing of them.
    if !state.groups().is_empty() {
        let groups = state.groups().iter().map(|(name, group)| json!([name, shown(group)]));
        rendered["groups: name, group"] = groups.collect();
    }
    rendered
}

/// What folding a slot brought.
pub(crate) fn applied(applied: &Applied, state: &State) -> Value {
    let fates = applied.fates.iter().map(|(name, fate)| json!([name.to_string(), shown(fate)]));
    json!({
        "slot": applied.slot,
        "time": applied.time,
        "fates": fates.collect::<Vec<_>>(),
        "log_hash": hex(state.log_hash()),
    })
}
