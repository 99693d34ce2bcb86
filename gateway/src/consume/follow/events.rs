//! A page as server-sent events, one a row.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::array::types::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use frazil_log::id::{Bucket, Offset};

use super::HEARTBEAT_TEXT;
use crate::app::Page;
use crate::consume::encode::Encoder;
use crate::consume::position::Position;
use crate::error::Problem;

/// Writes the rows of a page, whose last two columns are their buckets and offsets; a page without rows is a heartbeat, which
/// carries the position where a filter moved it on.
pub(super) fn write(encoder: &Encoder, page: &Page) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::new();
    let mut position = before(page)?;
    let rows: usize = page.batches.iter().map(RecordBatch::num_rows).sum();
    let mut left = rows;
    for batch in &page.batches {
        let places = places(batch)?;
        let columns: Vec<usize> = (0..batch.num_columns().saturating_sub(2)).collect();
        let answer = batch.project(&columns).map_err(|error| Problem::internal(error.to_string()))?;
        let mut lines = Vec::new();
        encoder.push_lines(&mut lines, &answer)?;
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for ((bucket, offset), line) in places.into_iter().zip(lines) {
            position.insert(bucket, offset + 1);
            left -= 1;
            // Behind the last row the page itself may have moved further.
            let id = if left == 0 { page.next.to_string() } else { Position(position.clone()).to_string() };
            out.extend_from_slice(format!("id: {id}\ndata: ").as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
        }
    }
    if rows == 0 {
        out.extend_from_slice(format!("id: {}\n{HEARTBEAT_TEXT}", page.next).as_bytes());
    }
    Ok(out)
}

/// The position before the page's first row. What lies before a bucket's first row here was passed over by a filter.
fn before(page: &Page) -> Result<BTreeMap<Bucket, Offset>, Problem> {
    let mut position = page.next.0.clone();
    let mut seen = BTreeMap::new();
    for batch in &page.batches {
        for (bucket, offset) in places(batch)? {
            seen.entry(bucket).or_insert(offset);
        }
    }
    position.extend(seen);
    Ok(position)
}

fn places(batch: &RecordBatch) -> Result<Vec<(Bucket, Offset)>, Problem> {
    let fault = || Problem::internal("an event's row has no place");
    let at = batch.num_columns().checked_sub(2).ok_or_else(fault)?;
    let buckets = batch.column(at).as_primitive_opt::<Int32Type>().ok_or_else(fault)?;
    let offsets = batch.column(at + 1).as_primitive_opt::<Int64Type>().ok_or_else(fault)?;
    let pairs = buckets.values().iter().zip(offsets.values());
    let place = |(bucket, offset): (&i32, &i64)| {
        Some((Bucket(u32::try_from(*bucket).ok()?), Offset::try_from(*offset).ok()?))
    };
    pairs.map(|pair| place(pair).ok_or_else(fault)).collect()
}
