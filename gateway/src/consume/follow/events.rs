//! Rows as server-sent events, each with the position behind it as its id.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::array::types::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use frazil_log::id::{Bucket, Offset};

use super::{Cursor, HEARTBEAT_TEXT};
use crate::app::Page;
use crate::consume::encode::Encoder;
use crate::consume::position::Position;
use crate::error::Problem;

/// The ids of a page's rows, whose last two columns are their buckets and offsets.
pub(super) struct Ids {
    /// The position behind the row before.
    position: BTreeMap<Bucket, Offset>,
    /// Rows that are still to come.
    left: usize,
    /// The position behind the page.
    next: Position,
}

impl Ids {
    /// Those of the rows from a cursor on.
    pub(super) fn at(page: &Page, cursor: Cursor) -> Result<Self, Problem> {
        let left = page.batches.iter().map(RecordBatch::num_rows).sum();
        let mut ids = Self { position: before(page)?, left, next: page.next.clone() };
        for batch in page.batches.iter().take(cursor.batch) {
            ids.pass(batch)?;
        }
        if let Some(batch) = page.batches.get(cursor.batch) {
            ids.pass(&batch.slice(0, cursor.row))?;
        }
        Ok(ids)
    }

    /// Goes behind rows that are not sent.
    pub(super) fn pass(&mut self, batch: &RecordBatch) -> Result<(), Problem> {
        for (bucket, offset) in places(batch)? {
            self.position.insert(bucket, offset + 1);
            self.left -= 1;
        }
        Ok(())
    }

    /// Writes the next rows.
    pub(super) fn push(
        &mut self,
        encoder: &Encoder,
        out: &mut Vec<u8>,
        batch: &RecordBatch,
    ) -> Result<(), Problem> {
        let columns: Vec<usize> = (0..batch.num_columns().saturating_sub(2)).collect();
        let answer = batch.project(&columns).map_err(|error| Problem::internal(error.to_string()))?;
        let mut lines = Vec::new();
        encoder.push_lines(&mut lines, &answer)?;
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for ((bucket, offset), line) in places(batch)?.into_iter().zip(lines) {
            self.position.insert(bucket, offset + 1);
            self.left -= 1;
            // Behind the last row the page itself may have moved further.
            let id = match self.left {
                0 => self.next.to_string(),
                _ => Position(self.position.clone()).to_string(),
            };
            out.extend_from_slice(format!("id: {id}\ndata: ").as_bytes());
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
        }
        Ok(())
    }
}

/// What a page without rows says: a sign of life, which carries the position where a filter moved it on.
pub(super) fn heartbeat(page: &Page) -> Vec<u8> {
    format!("id: {}\n{HEARTBEAT_TEXT}", page.next).into_bytes()
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
