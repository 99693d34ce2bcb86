//! `application/vnd.apache.arrow.stream`: columns matched by name, cast only where no value changes.
//!
//! Invariants:
//! * a stream without its end marker is refused: a cut body is never taken for a shorter one;
//! * the library that reads the stream may assert on metadata that contradicts itself: such a panic is caught here and
//!   answered as `malformed` (what it may allocate was checked before, in [`guard`]).
//!
//! A whole stream is read here; one whose messages come apart, by Flight, in [`messages`].

mod cast;
mod expand;
mod guard;
pub(crate) mod messages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatchOptions, StructArray};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cast::Caster;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::infer::infer_columns_from_arrow;
use frazil_log::schema::{Column, Schema};

use super::check::{Owners, check_maps};
use super::errors::{Budget, Path, RowErrors, Stop};
use super::{Limits, too_large};
use crate::error::Problem;

/// Decodes a stream into one batch of the table's Arrow form.
pub(super) fn decode(body: &Bytes, schema: &Schema, limits: &Limits) -> Result<RecordBatch, Problem> {
    caught(|| {
        let mut budget = Budget::new(limits.decoded_bytes_max);
        let (_, batches) = read(body, &mut budget)?;
        convert(&batches, schema, &mut budget)
    })
    .map_err(|stop| problem(stop, limits))
}

/// The columns of the table that a stream's schema describes.
pub(super) fn infer(body: &Bytes) -> Result<Vec<Column>, Problem> {
    let limits = Limits::default();
    let read = caught(|| read(body, &mut Budget::new(limits.decoded_bytes_max)));
    let (schema, _) = read.map_err(|stop| problem(stop, &limits))?;
    let fields: Vec<_> = schema.fields().iter().filter(|field| !is_pseudo(field.name())).cloned().collect();
    Ok(infer_columns_from_arrow(&ArrowSchema::new(fields))?)
}

fn is_pseudo(name: &str) -> bool {
    matches!(name, "__bucket" | "__offset" | "__timestamp" | "__op")
}

fn problem(stop: Stop, limits: &Limits) -> Problem {
    match stop {
        Stop::TooLarge => too_large(limits),
        Stop::Problem(problem) => problem,
        Stop::Syntax(error) => Problem::malformed(error.message),
    }
}

fn caught<T>(work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    let broken = || Problem::malformed("the Arrow stream is broken: its metadata contradicts itself");
    // Nothing that the closure may leave half-done is used afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken().into()))
}

fn read(body: &Bytes, budget: &mut Budget) -> Result<(SchemaRef, Vec<RecordBatch>), Stop> {
    guard::check(body, budget)?;
    let unreadable = |error: ArrowError| {
        Stop::Problem(Problem::malformed(format!("the Arrow stream cannot be read: {error}")))
    };
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(body.clone());
    let mut batches = Vec::new();
    while !rest.is_empty() {
        if let Some(batch) = decoder.decode(&mut rest).map_err(unreadable)? {
            batches.push(batch);
        }
    }
    decoder.finish().map_err(unreadable)?;
    let schema = decoder.schema().ok_or_else(|| Problem::malformed("the Arrow stream has no schema"))?;
    refuse_twins(&schema)?;
    Ok((schema, batches))
}

fn refuse_twins(schema: &ArrowSchema) -> Result<(), Stop> {
    let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(Problem::malformed(format!("the Arrow stream has two columns named {:?}", pair[0])).into())
        }
        None => Ok(()),
    }
}

fn convert(batches: &[RecordBatch], schema: &Schema, budget: &mut Budget) -> Result<RecordBatch, Stop> {
    let fault = |error: ArrowError| {
        Stop::Problem(Problem::malformed(format!("the Arrow stream does not fit: {error}")))
    };
    let arrow = arrow_schema(schema);
    let mut errors = RowErrors::default();
    let mut first_row = 0u64;
    let mut converted = Vec::with_capacity(batches.len());
    for batch in batches {
        check_ops(batch, budget)?;
        let given = StructArray::try_new_with_length(
            batch.schema().fields().clone(),
            batch.columns().to_vec(),
            None,
            batch.num_rows(),
        )
        .map_err(fault)?;
        let owners = Owners::Rows(first_row);
        let mut caster = Caster { errors: &mut errors, budget, first_row };
        if let Some(columns) = caster.record(&schema.columns, arrow.fields(), &given, &owners, Path::Row)? {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            converted.push(
                RecordBatch::try_new_with_options(Arc::clone(&arrow), columns, &options).map_err(fault)?,
            );
        }
        first_row = first_row.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
    }
    errors.into_result()?;
    let batch = match converted.len() {
        1 => converted.remove(0),
        _ => concat_batches(&arrow, &converted).map_err(fault)?,
    };
    check_maps(&batch, schema)?;
    Ok(batch)
}

/// Log tables take inserts only.
fn check_ops(batch: &RecordBatch, budget: &mut Budget) -> Result<(), Stop> {
    let Some(ops) = batch.column_by_name("__op") else {
        return Ok(());
    };
    let ops: ArrayRef = expand::expand(ops, budget)?;
    let inserts_only = match ops.data_type() {
        DataType::Utf8 => ops.as_string::<i32>().iter().flatten().all(|op| op == "+I"),
        DataType::LargeUtf8 => ops.as_string::<i64>().iter().flatten().all(|op| op == "+I"),
        DataType::Null => true,
        _ => false,
    };
    if inserts_only {
        Ok(())
    } else {
        Err(Problem::unsupported("__op: a log table takes \"+I\" only").into())
    }
}
