//! `application/json` (an array of rows, or one row) and `application/x-ndjson` (a row a line).

pub(super) mod otlp;

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use frazil_log::schema::Schema;
use frazil_log::schema::arrow_form::arrow_schema;

use super::check::check_maps;
use super::errors::{Budget, RowErrors, Stop};
use super::node::Record;
use super::read::Reader;
use super::scan::{Scanner, SyntaxError};
use super::{Limits, too_large};
use crate::error::Problem;

/// Decodes an array of rows, or one row.
pub(super) fn decode_json(body: &[u8], schema: &Schema, limits: &Limits) -> Result<RecordBatch, Problem> {
    let text = utf8(body)?;
    let mut rows = Rows::new(schema, limits);
    rows.read(text, 0, text, |reader, columns| {
        match reader.scanner.peek() {
            Some(b'[') => {
                reader.scanner.value()?;
                let mut first = true;
                while reader.scanner.next_element(first)? {
                    first = false;
                    reader.row(columns)?;
                }
            }
            Some(_) => reader.row(columns)?,
            None => {
                return Err(reader.scanner.error("the body is empty: send an array of rows").into());
            }
        }
        Ok(())
    })?;
    rows.finish(schema)
}

/// Decodes a row a line; blank lines are passed over.
pub(super) fn decode_ndjson(body: &[u8], schema: &Schema, limits: &Limits) -> Result<RecordBatch, Problem> {
    let text = utf8(body)?;
    let mut rows = Rows::new(schema, limits);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_ascii().is_empty() {
            // Without its end, so that a row that is cut is named on its own line.
            rows.read(line.trim_ascii_end(), start, text, |reader, columns| reader.row(columns))?;
        }
        start += line.len();
    }
    rows.finish(schema)
}

/// Whether the text is exactly one JSON value.
pub(super) fn is_one_value(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(is_json)
}

/// Whether the text is exactly one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|token| scanner.skip(token)).is_ok() && scanner.peek().is_none()
}

/// The body as text.
pub(super) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        Problem::malformed(format!("the body is not UTF-8: byte {} does not fit", error.valid_up_to()))
    })
}

/// The problem of broken JSON: where it breaks, by line and column from 1.
pub(super) fn syntax_problem(text: &str, start: usize, error: &SyntaxError) -> Problem {
    let at = start + error.at;
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Problem::malformed(format!("line {line}, column {column}: {}", error.message))
        .with("line", line)
        .with("column", column)
}

/// The rows read so far.
pub(super) struct Rows<'t> {
    pub(super) columns: Record<'t>,
    pub(super) row: u64,
    pub(super) errors: RowErrors,
    pub(super) budget: Budget,
    limits: Limits,
}

impl<'t> Rows<'t> {
    pub(super) fn new(schema: &'t Schema, limits: &Limits) -> Self {
        let budget = Budget::new(limits.decoded_bytes_max);
        Self {
            columns: Record::new(&schema.columns),
            row: 0,
            errors: RowErrors::default(),
            budget,
            limits: *limits,
        }
    }

    /// Reads a piece of JSON text that begins `start` bytes into the whole; nothing may follow what `rows` takes.
    fn read(
        &mut self,
        piece: &str,
        start: usize,
        whole: &str,
        rows: impl FnOnce(&mut Reader<'_>, &mut Record<'t>) -> Result<(), Stop>,
    ) -> Result<(), Problem> {
        self.scan(piece, rows).map_err(|stop| self.problem(stop, whole, start))
    }

    /// Reads a piece of JSON text; nothing may follow what `rows` takes.
    pub(super) fn scan(
        &mut self,
        piece: &str,
        rows: impl FnOnce(&mut Reader<'_>, &mut Record<'t>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut reader = Reader {
            scanner: Scanner::new(piece),
            errors: std::mem::take(&mut self.errors),
            budget: std::mem::replace(&mut self.budget, Budget::new(0)),
            row: self.row,
        };
        let result = rows(&mut reader, &mut self.columns).and_then(|()| match reader.scanner.peek() {
            None => Ok(()),
            Some(_) => Err(reader.scanner.error("nothing may follow here").into()),
        });
        self.row = reader.row;
        self.errors = reader.errors;
        self.budget = reader.budget;
        result
    }

    /// What the client is told where reading stopped, `start` bytes into the whole.
    pub(super) fn problem(&self, stop: Stop, whole: &str, start: usize) -> Problem {
        match stop {
            Stop::Syntax(error) => syntax_problem(whole, start, &error),
            Stop::TooLarge => too_large(&self.limits),
            Stop::Problem(problem) => problem,
        }
    }

    pub(super) fn finish(self, schema: &Schema) -> Result<RecordBatch, Problem> {
        self.errors.into_result()?;
        let fault = |error| Problem::internal(format!("rows that were checked do not make a batch: {error}"));
        let arrow = arrow_schema(schema);
        let columns = self.columns.finish(arrow.fields()).map_err(fault)?;
        let rows = usize::try_from(self.row).map_err(|_| too_large(&self.limits))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(arrow, columns, &options).map_err(fault)?;
        check_maps(&batch, schema)?;
        Ok(batch)
    }
}
