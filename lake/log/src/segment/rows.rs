//! Rows of decoded batches by number.

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
