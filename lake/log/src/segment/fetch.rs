//! The one place of this module that waits: gets a slice's bytes and has them decoded.

use std::ops::Range;

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;

use super::layout::BodyPlace;
use super::projection::{Projection, decode_projected};
use super::reader::{decode, decode_columns};
use crate::error::{Error, Result};
use crate::format::slice::Slice;

/// Ranges so many bytes apart or less are always fetched as one: a request costs more than these bytes.
pub const GAP_BYTES_MIN: u64 = 16 << 10;

/// Ranges more than so many bytes apart never are; about what a store sends in the time of one request.
pub const GAP_BYTES_MAX: u64 = 128 << 10;

/// From so many percent of a slice's bytes on, all of it is fetched, in one request.
pub const WHOLE_PERCENT_MIN: u64 = 60;

/// One object, read by ranges; hides the store.
#[async_trait]
pub trait RangeSource: Send + Sync {
    /// The bytes of each range of the object, in order; short if the object ends before.
    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;
}

/// Reads a slice, or its columns at the `wanted` positions in that order, from the object that it lies in.
///
/// `fields` are the Arrow fields of all the slice's columns, in order. No request is made if no bytes are needed.
///
/// # Errors
/// Those of `source`; `Corrupt`, naming object and bytes, if the bytes are not what was written; and as
/// [`decode_columns`].
pub async fn read_slice(
    source: &dyn RangeSource,
    place: &BodyPlace<'_>,
    slice: &Slice,
    fields: &[FieldRef],
    wanted: Option<&[usize]>,
) -> Result<Vec<RecordBatch>> {
    let start =
        place.start.checked_add(slice.body_offset).filter(|start| start.checked_add(slice.bytes).is_some());
    let start =
        start.ok_or_else(|| Error::corrupt(format!("{}: a slice ends behind u64::MAX", place.object)))?;
    let Some(wanted) = wanted else {
        let bytes = fetch(source, start, std::slice::from_ref(&(0..slice.bytes))).await?;
        return decode(slice, &bytes[0], fields, place);
    };
    // Between the two, a gap may be a quarter of what is wanted: a narrow column does not bring a wide one along.
    let gap_bytes_max = (Projection::plan(slice, wanted, 0)?.bytes() / 4).clamp(GAP_BYTES_MIN, GAP_BYTES_MAX);
    let projection = Projection::plan(slice, wanted, gap_bytes_max)?;
    if is_most(projection.bytes(), slice.bytes) {
        let bytes = fetch(source, start, std::slice::from_ref(&(0..slice.bytes))).await?;
        return decode_columns(slice, &bytes[0], fields, wanted, place);
    }
    let bytes = fetch(source, start, projection.ranges()).await?;
    decode_projected(slice, &projection, &bytes, fields, place)
}

fn is_most(wanted: u64, of: u64) -> bool {
    wanted > 0 && u128::from(wanted) * 100 >= u128::from(of) * u128::from(WHOLE_PERCENT_MIN)
}

/// As many byte strings as ranges; the ranges count from `start` of the object. Empty ranges are not asked for.
async fn fetch(source: &dyn RangeSource, start: u64, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let in_object = |range: &Range<u64>| start + range.start..start + range.end;
    let asked: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).map(in_object).collect();
    if asked.is_empty() {
        return Ok(vec![Bytes::new(); ranges.len()]);
    }
    let bytes = source.ranges(&asked).await?;
    if bytes.len() != asked.len() {
        return Err(Error::internal(format!(
            "{} ranges asked of a store, {} answered",
            asked.len(),
            bytes.len()
        )));
    }
    let mut bytes = bytes.into_iter();
    let answer = |range: &Range<u64>| {
        if range.is_empty() { Bytes::new() } else { bytes.next().unwrap_or_default() }
    };
    Ok(ranges.iter().map(answer).collect())
}
