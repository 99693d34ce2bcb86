//! Rows as CSV (RFC 4180): a header line, then a record a row.
//!
//! Null is an empty cell, the empty string is `""`; nested values are JSON within their cell. A row of one column that is
//! null is an empty line. The reverse of [`crate::produce::decode`].

use arrow::array::cast::AsArray;
use arrow::array::{Array, StringArray};
use arrow::record_batch::RecordBatch;
use frazil_log::schema::{Column, Type};

use super::json::Writer;
use crate::error::Problem;

/// A column's values, text apart: it stands for itself.
enum Cells<'a> {
    Text(&'a StringArray),
    Other(Writer<'a>),
}

/// Adds the names of the columns.
pub(super) fn push_header(out: &mut Vec<u8>, columns: &[Column]) {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_cell(out, column.name.as_bytes());
    }
    out.push(b'\n');
}

/// Adds the rows of a batch.
pub(super) fn push_rows(out: &mut Vec<u8>, columns: &[Column], batch: &RecordBatch) -> Result<(), Problem> {
    if columns.len() != batch.num_columns() {
        return Err(Problem::internal("a batch has another number of columns than its schema"));
    }
    let cells = columns.iter().zip(batch.columns()).map(|(column, array)| Cells::new(&column.ty, array));
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    let mut scratch = Vec::new();
    for row in 0..batch.num_rows() {
        for (place, cells) in cells.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            cells.push(out, row, &mut scratch);
        }
        out.push(b'\n');
    }
    Ok(())
}

impl<'a> Cells<'a> {
    fn new(ty: &Type, array: &'a dyn Array) -> Result<Self, Problem> {
        match (ty, array.as_string_opt::<i32>()) {
            (Type::String, Some(text)) => Ok(Self::Text(text)),
            _ => Writer::new(ty, array).map(Self::Other),
        }
    }

    fn push(&self, out: &mut Vec<u8>, row: usize, scratch: &mut Vec<u8>) {
        match self {
            Self::Text(text) if text.is_null(row) => {}
            Self::Text(text) => push_cell(out, text.value(row).as_bytes()),
            Self::Other(writer) if writer.is_null(row) => {}
            Self::Other(writer) => {
                scratch.clear();
                writer.push(scratch, row);
                // What JSON puts in quotes besides text has no escapes: times, decimals, NaN, bytes in base64.
                let bare = scratch.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                push_cell(out, bare.unwrap_or(scratch));
            }
        }
    }
}

/// Adds a value, in quotes where it could be taken for something else.
fn push_cell(out: &mut Vec<u8>, text: &[u8]) {
    let plain = !text.is_empty() && !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    // A byte order mark at the beginning would be taken off.
    if plain && !text.starts_with("\u{feff}".as_bytes()) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (place, piece) in text.split(|byte| *byte == b'"').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece);
    }
    out.push(b'"');
}
