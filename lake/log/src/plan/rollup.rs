//! Which rows to write anew: those that lie in commits, up to a checkpoint, in runs that make large slices.

use std::ops::Range;

use crate::format::page::{Place, StreamKey};
use crate::format::segment::ObjectId;
use crate::id::{Offset, SchemaId};
use crate::state::State;

/// One sequence's part of a roll-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose.
    pub key: StreamKey,
    /// From where it is rolled up to where it had come at the checkpoint.
    pub offsets: Range<Offset>,
    /// Those of them that are still kept.
    pub kept: Range<Offset>,
}

/// What there is to roll up below a checkpoint whose state is `then`.
pub fn work(current: &State, then: &State) -> Vec<Work> {
    let mut all = Vec::new();
    for table in then.tables().all() {
        if current.tables().live(table.id).is_none() {
            continue;
        }
        for ((bucket, stream), tail) in &table.buckets {
            let key = StreamKey { table: table.id, bucket: *bucket, stream: *stream };
            let now = current.tables().tail(&key);
            if now.settled() < tail.next {
                all.push(Work { key, offsets: now.rolled..tail.next, kept: now.settled()..tail.next });
            }
        }
    }
    all
}

/// Consecutive places that become one slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Their schema.
    pub schema: SchemaId,
    /// The places, ascending, without a gap.
    pub places: Vec<Place>,
    /// About how many bytes they hold.
    pub bytes: u64,
}

impl Run {
    /// The offset of its first row.
    pub fn start(&self) -> Offset {
        self.places.first().map_or(0, |place| place.offsets.start)
    }
}

/// About how many bytes of a slice a place holds.
pub fn place_bytes(place: &Place) -> u64 {
    let rows = place.offsets.end - place.offsets.start;
    place.slice.bytes.saturating_mul(rows) / u64::from(place.slice.rows.max(1))
}

/// Joins the places that lie in commits into runs of one schema, each of about `bytes_max` at most. Rows that lie in segments
/// stay where they are.
pub fn runs(places: Vec<Place>, bytes_max: u64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for place in places {
        if matches!(place.object, ObjectId::Segment(_)) {
            continue;
        }
        let bytes = place_bytes(&place);
        let joins = |run: &&mut Run| {
            run.schema == place.slice.schema
                && run.bytes + bytes <= bytes_max
                && run.places.last().is_some_and(|last| last.offsets.end == place.offsets.start)
        };
        match runs.last_mut().filter(joins) {
            Some(run) => {
                run.bytes += bytes;
                run.places.push(place);
            }
            None => runs.push(Run { schema: place.slice.schema, places: vec![place], bytes }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::slice::Slice;
    use crate::id::{SegmentId, Ulid};
    use crate::plan::places::tests::some_place;

    #[test]
    fn runs_break_at_segments_schemas_and_size() {
        let mut places: Vec<Place> = (0..6).map(|n| some_place(n * 10..n * 10 + 10, n + 1)).collect();
        places[2].object = ObjectId::Segment(SegmentId { base: 1, ulid: Ulid::from(1) });
        places[4].slice = Arc::new(Slice { schema: 1, ..places[4].slice.as_ref().clone() });
        let runs = runs(places.clone(), 1 << 20);
        let starts: Vec<_> = runs.iter().map(|run| (run.start(), run.places.len())).collect();
        assert_eq!(starts, [(0, 2), (30, 1), (40, 1), (50, 1)]);
        let bytes = place_bytes(&places[0]);
        assert_eq!(super::runs(places, bytes).len(), 5);
    }
}
