//! Rows of batches: by number, and what is joined before it is encoded.

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};

/// The rows `[first, first + count)` of a slice's batches, without copying; empty batches are left out.
///
/// # Errors
/// `Invalid` if the batches have fewer rows.
pub fn row_range(batches: &[RecordBatch], first: u64, count: u64) -> Result<Vec<RecordBatch>> {
    let total: u64 = batches.iter().map(rows).sum();
    let end = first.checked_add(count).filter(|end| *end <= total);
    let Some(end) = end else {
        return Err(Error::invalid(format!("{count} rows from row {first} asked of a slice of {total}")));
    };
    let mut wanted = Vec::new();
    let mut start = 0;
    for batch in batches {
        let batch_end = start + rows(batch);
        let (from, to) = (first.max(start), end.min(batch_end));
        if from < to {
            let in_batch =
                |row: u64| usize::try_from(row - start).expect("at most the batch's rows, a usize");
            wanted.push(batch.slice(in_batch(from), in_batch(to) - in_batch(from)));
        }
        start = batch_end;
    }
    Ok(wanted)
}

fn rows(batch: &RecordBatch) -> u64 {
    u64::try_from(batch.num_rows()).expect("a number of rows in memory fits u64")
}

/// Batches are not made longer than this by joining: what is longer is not worth a copy.
const JOINED_BYTES_MAX: usize = 1 << 20;

/// Of each column, so many bytes in one message: some columns of many are then read in few requests.
const COLUMN_BYTES: usize = 1 << 20;

/// Yet a message is no shorter than this, if there are rows for it,
const MESSAGE_BYTES_MIN: usize = 4 << 20;

/// and no longer: who reads a few rows of it in full reads all of it.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// About how many bytes a batch's rows take in memory; of a slice of a larger batch, its own part.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    let column_bytes = |column: &arrow::array::ArrayRef| {
        let part = column.to_data().get_slice_memory_size();
        part.unwrap_or_else(|_| column.get_buffer_memory_size())
    };
    batch.columns().iter().map(column_bytes).sum()
}

/// Joins short neighbours of one schema, while they are at most 1 MiB together.
///
/// # Errors
/// `Internal` if their schemas differ.
pub fn join(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut joined = Vec::new();
    let mut run: Vec<RecordBatch> = Vec::new();
    let mut run_bytes = 0;
    for batch in batches {
        let bytes = batch_bytes(&batch);
        if run_bytes + bytes > JOINED_BYTES_MAX && !run.is_empty() {
            joined.push(concat(&run)?);
            run.clear();
            run_bytes = 0;
        }
        run_bytes += bytes;
        run.push(batch);
    }
    if !run.is_empty() {
        joined.push(concat(&run)?);
    }
    Ok(joined)
}

/// Neighbours that share a message, evenly long.
pub(super) fn groups(batches: &[RecordBatch]) -> Vec<&[RecordBatch]> {
    let columns = batches.first().map_or(0, RecordBatch::num_columns);
    let bytes_max = columns.saturating_mul(COLUMN_BYTES).clamp(MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX);
    let lengths: Vec<usize> = batches.iter().map(batch_bytes).collect();
    let total: usize = lengths.iter().sum();
    let even = total.div_ceil(total.div_ceil(bytes_max).max(1));
    let (mut groups, mut start, mut bytes) = (Vec::new(), 0, 0_usize);
    for (at, length) in lengths.iter().enumerate() {
        if at > start && bytes + length > bytes_max {
            groups.push(&batches[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += length;
        if bytes >= even {
            groups.push(&batches[start..=at]);
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < batches.len() {
        groups.push(&batches[start..]);
    }
    groups
}

fn concat(run: &[RecordBatch]) -> Result<RecordBatch> {
    match run {
        [one] => Ok(one.clone()),
        _ => concat_batches(&run[0].schema(), run)
            .map_err(|error| Error::internal(format!("joining batches of one schema: {error}"))),
    }
}
