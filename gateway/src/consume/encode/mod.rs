//! Record batches → the bytes of an answer: a JSON array, a row a line, CSV, or an Arrow IPC stream.
//!
//! Invariants:
//! * what is written here, [`crate::produce::decode`] reads as the same rows (a property test over all types);
//! * pseudo-columns stand where they were asked for, among the user's.
//!
//! Start reading at [`Encoder`]; which columns there are is decided in [`projection`].

mod csv;
pub(crate) mod json;
pub mod projection;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod text;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::schema::Column;
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::segment::stream_messages;

use crate::error::Problem;

/// A time as it stands in JSON: RFC 3339 with microseconds.
pub(crate) fn timestamp_text(micros: i64) -> String {
    let mut out = Vec::new();
    text::push_timestamp(&mut out, micros, false, true);
    String::from_utf8_lossy(&out).into_owned()
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of rows.
    Json,
    /// A row a line.
    Ndjson,
    /// An Arrow IPC stream.
    ArrowStream,
    /// A header line, then a record a row.
    Csv,
}

/// Writes batches of the same columns.
#[derive(Clone, Debug)]
pub struct Encoder {
    columns: Vec<Column>,
    arrow: SchemaRef,
}

impl Format {
    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::ArrowStream => "application/vnd.apache.arrow.stream",
            Self::Csv => "text/csv",
        }
    }
}

impl Encoder {
    /// An encoder of batches with these columns, in this order.
    pub fn new(columns: Vec<Column>) -> Self {
        let arrow = arrow_fields(&columns);
        Self { columns, arrow }
    }

    /// A whole answer.
    ///
    /// # Errors
    /// `internal` if a batch does not have the columns.
    pub fn answer(&self, format: Format, batches: &[RecordBatch]) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::new();
        match format {
            Format::Json => {
                out.push(b'[');
                for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
                    if out.len() > 1 {
                        out.push(b',');
                    }
                    json::push_rows(&mut out, &self.columns, batch, b",")?;
                }
                out.push(b']');
            }
            Format::Ndjson => batches.iter().try_for_each(|batch| self.push_lines(&mut out, batch))?,
            Format::ArrowStream => {
                self.stream(batches)?.iter().for_each(|piece| out.extend_from_slice(piece));
            }
            Format::Csv => {
                csv::push_header(&mut out, &self.columns);
                batches.iter().try_for_each(|batch| csv::push_rows(&mut out, &self.columns, batch))?;
            }
        }
        Ok(out)
    }

    /// Adds the rows of a batch, a line each.
    ///
    /// # Errors
    /// `internal` if the batch does not have the columns.
    pub fn push_lines(&self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), Problem> {
        json::push_rows(out, &self.columns, batch, b"\n")?;
        if batch.num_rows() > 0 {
            out.push(b'\n');
        }
        Ok(())
    }

    /// A whole answer in pieces; an Arrow stream's share the memory of the batches.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn pieces(&self, format: Format, batches: &[RecordBatch]) -> Result<Vec<Bytes>, Problem> {
        match format {
            Format::ArrowStream => self.stream(batches),
            other => Ok(vec![self.answer(other, batches)?.into()]),
        }
    }

    fn stream(&self, batches: &[RecordBatch]) -> Result<Vec<Bytes>, Problem> {
        let fault = |error| Problem::internal(format!("rows do not make an Arrow stream: {error}"));
        let mut writer = StreamWriter::try_new(Vec::new(), &self.arrow).map_err(fault)?;
        let head = std::mem::take(writer.get_mut());
        let end = writer.into_inner().map_err(fault)?;
        let rows = stream_messages(batches)?;
        Ok(std::iter::once(head.into()).chain(rows).chain([end.into()]).collect())
    }
}

/// The Arrow schema of an answer with these columns.
pub(crate) fn arrow_fields(columns: &[Column]) -> SchemaRef {
    Arc::new(ArrowSchema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The Arrow field of an answer's column, as [`crate::consume::reader::output_schema`] makes it.
fn field(column: &Column) -> Field {
    let field = arrow_field(column);
    if column.id == 0 {
        Field::new(field.name(), field.data_type().clone(), field.is_nullable())
    } else {
        field
    }
}
