//! The first row at or after a time, by the slice index.
//!
//! Commit time never goes back in the log (rule 13), so the places of a bucket ascend in time as they do in offset, and a binary
//! search finds the one that holds the row. It costs what the index costs: nothing for the slots since the last checkpoint, else at
//! most one header of each index page, newest first, and one part of each page that has rows of the bucket (both are kept in
//! memory, and there are at most 15 pages of each size); and one read of `__timestamp` where rows were rolled up, since only
//! there rows of one place have different times.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::cast::AsArray;
use arrow::array::types::TimestampMicrosecondType;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, Result};
use frazil_log::format::page::Place;
use frazil_log::id::{Bucket, Offset, TimeMicros};
use frazil_log::state::tables::Table;

use super::reader::{OutputColumn, ReadRequest, read};
use super::tail::TailRing;

/// Rows whose times are read at once.
const TIMES_MAX: usize = 1 << 20;

/// The offset of the first row of a bucket, of what is folded, whose commit time is `time` or later; the next offset if there is none.
///
/// # Errors
/// Those of reading the index and, where rows were rolled up, their times.
pub(crate) async fn first_at(
    (replica, tail): (&Replica, &TailRing),
    table: &Table,
    bucket: Bucket,
    time: TimeMicros,
) -> Result<Offset> {
    let key = table.rows_key(bucket);
    let kept = replica.fold().state.tables().tail(&key);
    let end = kept.next;
    let is_rolled = |place: &Place| place.slice.times.is_some();
    // Rows below `low` are earlier; the place of the row at `high` reaches the time.
    let (mut low, mut high, mut rolled) = (kept.earliest, end, false);
    while low < high {
        let middle = low + (high - low) / 2;
        let places = replica.places(&key, middle..middle + 1).await?;
        let place = places.first().ok_or_else(|| Error::internal(format!("offset {middle} has no place")))?;
        if place.time < time {
            low = middle + 1;
        } else {
            (high, rolled) = (middle, is_rolled(place));
        }
    }
    if rolled { within((replica, tail), table, bucket, low..end, time).await } else { Ok(low) }
}

/// The first of some rows at or after a time, by the times that each row has.
async fn within(
    (replica, tail): (&Replica, &TailRing),
    table: &Table,
    bucket: Bucket,
    mut offsets: Range<Offset>,
    time: TimeMicros,
) -> Result<Offset> {
    while !offsets.is_empty() {
        let request = ReadRequest {
            from: BTreeMap::from([(bucket, offsets.start)]),
            columns: vec![OutputColumn::Timestamp],
            rows_max: TIMES_MAX,
            bytes_max: TIMES_MAX as u64,
            filter: None,
        };
        let page = read(replica, tail, table, &request).await?;
        let mut at = offsets.start;
        for batch in &page.batches {
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            if let Some(found) = times.values().iter().position(|value| *value >= time) {
                return Ok(at + found as u64);
            }
            at += batch.num_rows() as u64;
        }
        if at == offsets.start {
            return Err(Error::internal(format!("the rows from offset {at} on cannot be read")));
        }
        offsets.start = at;
    }
    Ok(offsets.end)
}
