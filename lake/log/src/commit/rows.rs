//! Reading the rows of a place: the byte ranges that are needed, verified, and nothing that was trimmed or forged meanwhile.

use std::ops::Range;

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;

use super::index::PageCache;
use super::replica::{Replica, read_commit};
use crate::error::{Error, ErrorKind, Result};
use crate::format::envelope::{ENVELOPE_BYTES, Envelope, ObjectKind};
use crate::format::page::Place;
use crate::format::segment::{ObjectId, SegmentHeader};
use crate::format::slice::Slice;
use crate::segment::{BodyPlace, RangeSource, read_slice, row_range};
use crate::store::{Path, Store, paths};

/// Ranges no longer than this are kept: what a message says of its bytes, even of a hundred columns.
const KEPT_BYTES_MAX: u64 = 16 << 10;

/// But only beside so many bytes that are fetched each time: of less, messages would fill the place of index pages. So an object
/// that is gone is always noticed.
const FETCHED_BYTES_MIN: u64 = 256 << 10;

struct StoredObject<'a> {
    store: &'a Store,
    path: &'a Path,
    object: ObjectId,
    known: &'a PageCache,
}

#[async_trait]
impl RangeSource for StoredObject<'_> {
    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let length = |range: &Range<u64>| range.end.saturating_sub(range.start);
        let long: u64 = ranges.iter().map(length).filter(|length| *length > KEPT_BYTES_MAX).sum();
        let is_short = |range: &Range<u64>| long >= FETCHED_BYTES_MIN && length(range) <= KEPT_BYTES_MAX;
        let known = |range| if is_short(range) { self.known.message(self.object, range) } else { None };
        let mut found: Vec<Option<Bytes>> = ranges.iter().map(known).collect();
        let missing = || ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<Range<u64>> = missing().map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let Some(fetched) = self.store.get_ranges(self.path, &missing).await? else {
                return Err(Error::new(ErrorKind::NotFound, format!("{} is not there", self.path)));
            };
            for (range, bytes) in missing.iter().zip(&fetched).filter(|(range, _)| is_short(range)) {
                self.known.keep_message(self.object, range, bytes);
            }
            let mut fetched = fetched.into_iter();
            found.iter_mut().filter(|found| found.is_none()).for_each(|found| *found = fetched.next());
        }
        found.into_iter().collect::<Option<_>>().ok_or_else(|| Error::internal("a range was not answered"))
    }
}

impl Replica {
    /// The key of an object of this log.
    pub fn object_path(&self, object: &ObjectId) -> Path {
        match object {
            ObjectId::Commit { slot, .. } => paths::log(self.database(), *slot),
            ObjectId::Segment(id) => paths::segment(self.database(), *id),
        }
    }

    /// Reads the rows of a place: the columns at the `wanted` positions of its slice, in that order. `fields` are the Arrow
    /// fields of all the slice's columns.
    ///
    /// # Errors
    /// `Stale` if the object was trimmed (rule 27): confirm the tail, find the [places](Self::places) again, and go on by
    /// offset. `Corrupt` if its bytes are not what was written, or if it is gone although it should not be.
    pub async fn read_place(
        &self,
        place: &Place,
        fields: &[FieldRef],
        wanted: &[usize],
    ) -> Result<Vec<RecordBatch>> {
        let path = self.object_path(&place.object);
        let known = &self.inner.pages;
        let source = StoredObject { store: self.store(), path: &path, object: place.object, known };
        let body = BodyPlace { object: path.as_ref(), start: place.body_start };
        let all = wanted.iter().copied().eq(0..fields.len());
        let rows = place.offsets.end - place.offsets.start;
        let (slice, first_row) = narrow(&place.slice, u64::from(place.first_row), rows);
        // A part of a slice is checked column by column; the slice's own checksum needs all of it.
        let whole = slice.batches.len() == place.slice.batches.len();
        let read = if all && whole {
            read_slice(&source, &body, &slice, fields, None).await
        } else if whole {
            read_slice(&source, &body, &slice, fields, Some(wanted)).await
        } else {
            read_part(&source, &body, &slice, fields, wanted).await
        };
        match read {
            Ok(batches) => row_range(&batches, first_row, rows),
            Err(error) => {
                known.forget_messages(place.object);
                Err(self.explain(place, &path, error).await)
            }
        }
    }

    /// Why a place could not be read: trimmed, a ghost in its stead, or corrupt.
    async fn explain(&self, place: &Place, path: &Path, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
            return error;
        }
        let same = self.holds(place, path).await;
        match same {
            Ok(true) if error.kind() == ErrorKind::Corrupt => error,
            Ok(_) => Error::new(
                ErrorKind::Stale,
                format!("{path} no longer holds offsets {:?}: it was trimmed", place.offsets),
            )
            .with_source(error),
            Err(why) if why.is_retryable() => why,
            Err(_) => error,
        }
    }

    /// Whether the object is still the one that the place refers to.
    async fn holds(&self, place: &Place, path: &Path) -> Result<bool> {
        let store = self.store().fresh();
        match place.object {
            // Whatever stands there now may have a longer header than what stood there.
            ObjectId::Commit { slot, put_id } => {
                let found = read_commit(&store, path, slot).await?;
                Ok(found.is_some_and(|commit| commit.header.put_id == put_id))
            }
            ObjectId::Segment(id) => {
                let head = store.get_prefix(path, place.body_start.max(ENVELOPE_BYTES as u64)).await?;
                let Some(head) = head else { return Ok(false) };
                Envelope::decode(path.as_ref(), &head.bytes, ObjectKind::Segment)?;
                SegmentHeader::decode(path.as_ref(), &head.bytes, id).map(|_| true)
            }
        }
    }
}

/// The batches of a slice that hold `rows` rows from `first_row` on, as a slice of its own, and the first row's place in it.
fn narrow(slice: &Slice, first_row: u64, rows: u64) -> (Slice, u64) {
    let mut narrowed = Slice { batches: Vec::new(), rows: 0, bytes: 0, ..slice.clone() };
    let (mut row, mut offset, mut skipped) = (0u64, slice.body_offset, 0u64);
    for batch in &slice.batches {
        let end = row + u64::from(batch.rows);
        let bytes = u64::from(batch.metadata_len) + batch.body_len;
        if end > first_row && row < first_row + rows {
            if narrowed.batches.is_empty() {
                narrowed.body_offset = offset;
                skipped = row;
            }
            narrowed.batches.push(batch.clone());
            narrowed.rows += batch.rows;
            narrowed.bytes += bytes;
        }
        row = end;
        offset += bytes;
    }
    (narrowed, first_row - skipped)
}

async fn read_part(
    source: &StoredObject<'_>,
    body: &BodyPlace<'_>,
    slice: &Slice,
    fields: &[FieldRef],
    wanted: &[usize],
) -> Result<Vec<RecordBatch>> {
    let projection = crate::segment::Projection::plan(slice, wanted, crate::segment::fetch::GAP_BYTES_MIN)?;
    let start = body.start + slice.body_offset;
    let ranges: Vec<Range<u64>> =
        projection.ranges().iter().map(|range| start + range.start..start + range.end).collect();
    let bytes = if ranges.is_empty() { Vec::new() } else { source.ranges(&ranges).await? };
    crate::segment::decode_projected(slice, &projection, &bytes, fields, body)
}
