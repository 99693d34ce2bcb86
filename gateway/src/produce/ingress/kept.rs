//! The rows of a flush for the tail ring: decoded where this gateway decoded them, as bytes where another one sent them.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::commit::committer::Flush;
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::SliceHome;

use crate::consume::tail::TailRing;

/// The rows of one slice.
#[derive(Debug)]
pub(super) enum Kept {
    /// As they were encoded.
    Decoded(Vec<RecordBatch>),
    /// As they lie in their object.
    Encoded(Bytes),
    /// In a segment that somebody else uploaded.
    Elsewhere,
}

impl Kept {
    /// The slices of a flush whose rows are in it, in order.
    pub(super) fn encoded(flush: &Flush) -> Vec<Self> {
        let body: Bytes = match flush.body.as_slice() {
            [one] => one.clone(),
            pieces => pieces.concat().into(),
        };
        let one = |slice: &frazil_log::format::slice::Slice| {
            let range = slice.object_range(0);
            let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            match place.filter(|(_, end)| slice.home == SliceHome::Here && *end <= body.len()) {
                Some((start, end)) => Self::Encoded(body.slice(start..end)),
                None => Self::Elsewhere,
            }
        };
        flush.slices.iter().map(one).collect()
    }
}

/// Keeps the rows of a flush that leaves as `commit`; `kept` is by its slices.
pub(super) fn keep(tail: &TailRing, commit: ObjectId, flush: &Flush, kept: &[Kept]) {
    for (slice, kept) in flush.slices.iter().zip(kept) {
        let object = match slice.home {
            SliceHome::Here => Some(commit),
            SliceHome::Segment(index) => {
                flush.segments.get(index as usize).map(|segment| ObjectId::Segment(segment.id))
            }
        };
        let Some(object) = object else { continue };
        match kept {
            Kept::Decoded(batches) => {
                if let Err(error) = tail.insert(object, slice, batches.clone()) {
                    tracing::error!(%error, "rows do not fit their slice; please report this");
                }
            }
            Kept::Encoded(bytes) => tail.insert_encoded(object, slice, bytes.clone()),
            Kept::Elsewhere => {}
        }
    }
}
