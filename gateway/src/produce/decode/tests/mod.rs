//! Rows from JSON, CSV and Arrow, what is refused and how it is named; random tables for properties are in [`random`].

mod arrow_stream;
mod csv;
mod messages;
pub(crate) mod random;
mod rows;

use bytes::Bytes;
use frazil_log::schema::Schema;
use frazil_log::schema::ids::assign_ids;
use frazil_log::schema::sql::parse_columns;

use super::{Format, Limits, decode};
use crate::error::Problem;

pub(crate) fn schema(columns: &str) -> Schema {
    let mut columns = parse_columns(columns).unwrap();
    assign_ids(&mut columns);
    Schema { id: 0, columns }
}

fn json(columns: &str, body: &str) -> Result<arrow::record_batch::RecordBatch, Problem> {
    decode(Format::Json, &Bytes::copy_from_slice(body.as_bytes()), &schema(columns), &Limits::default())
}
