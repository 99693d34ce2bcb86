//! Where rows lie, for the slots since the last checkpoint: the part of the slice index that is kept in memory.

use std::ops::Range;
use std::sync::Arc;

use crate::format::commit::Commit;
use crate::format::page::{Place, PlaceMap, StreamKey};
use crate::format::segment::ObjectId;
use crate::format::slice::{Slice, SliceHome};
use crate::id::Offset;
use crate::state::Applied;
use crate::state::proposal::Placed;

/// Adds what a folded slot brought: rows that arrived, then rows that lie elsewhere from now on.
pub fn add_slot(map: &mut PlaceMap, commit: &Commit, applied: &Applied) {
    let mut shared: Vec<Option<Arc<Slice>>> = vec![None; commit.header.slices.len()];
    for placed in applied.placed.iter().chain(&applied.moved) {
        let Some((slice, share)) =
            commit.header.slices.get(placed.slice as usize).zip(shared.get_mut(placed.slice as usize))
        else {
            continue; // judged by the fold: an index beyond the header was refused
        };
        let slice = Arc::clone(share.get_or_insert_with(|| Arc::new(slice.clone())));
        if let Some(place) = place(commit, applied, placed, slice) {
            lay_over(map.entry(placed.key).or_default(), place);
        }
    }
}

fn place(commit: &Commit, applied: &Applied, placed: &Placed, slice: Arc<Slice>) -> Option<Place> {
    let (object, body_start) = match slice.home {
        SliceHome::Here => {
            (ObjectId::Commit { slot: applied.slot, put_id: applied.put_id }, commit.envelope.body_start())
        }
        SliceHome::Segment(index) => {
            let segment = commit.header.segments.get(index as usize)?;
            (ObjectId::Segment(segment.id), segment.body_start)
        }
    };
    let time = slice.times.map_or(applied.time, |(_, max)| max);
    Some(Place {
        offsets: placed.offsets.clone(),
        first_row: placed.first_row,
        time,
        object,
        body_start,
        slice,
    })
}

/// Lays a place over others: the newest is right for its offsets, what sticks out of older ones stays.
pub fn lay_over(places: &mut Vec<Place>, new: Place) {
    if let Some(last) = places.last_mut() {
        let follows = last.offsets.end == new.offsets.start
            && last.object == new.object
            && last.time == new.time
            && last.body_start == new.body_start
            && last.slice == new.slice
            && u64::from(last.first_row) + (last.offsets.end - last.offsets.start)
                == u64::from(new.first_row);
        if follows {
            last.offsets.end = new.offsets.end;
            return;
        }
    }
    let first = places.partition_point(|place| place.offsets.end <= new.offsets.start);
    let end = places.partition_point(|place| place.offsets.start < new.offsets.end);
    let before = places.get(first).and_then(|place| place.cut(&(0..new.offsets.start)));
    let after = end
        .checked_sub(1)
        .and_then(|last| places.get(last))
        .and_then(|place| place.cut(&(new.offsets.end..Offset::MAX)));
    if first >= end {
        places.insert(first, new);
        return;
    }
    places.splice(first..end, before.into_iter().chain([new]).chain(after));
}

/// Lays all of a newer map over an older one.
pub fn lay_map_over(older: &mut PlaceMap, newer: &PlaceMap) {
    for (key, places) in newer {
        let under = older.entry(*key).or_default();
        places.iter().for_each(|place| lay_over(under, place.clone()));
    }
}

/// The offsets of a read that are still to be found, newest layer first.
#[derive(Clone, Debug)]
pub struct Search {
    found: Vec<Place>,
    missing: Vec<Range<Offset>>,
}

impl Search {
    /// Looks for `offsets`.
    pub fn new(offsets: Range<Offset>) -> Self {
        let missing = if offsets.is_empty() { Vec::new() } else { vec![offsets] };
        Self { found: Vec::new(), missing }
    }

    /// What is still missing, ascending.
    pub fn missing(&self) -> &[Range<Offset>] {
        &self.missing
    }

    /// Whether any missing offset lies in `offsets`.
    pub fn wants(&self, offsets: &Range<Offset>) -> bool {
        self.missing.iter().any(|missing| missing.start < offsets.end && offsets.start < missing.end)
    }

    /// Takes what a layer has of the missing offsets.
    pub fn look_into(&mut self, places: &[Place]) {
        let mut still = Vec::new();
        for missing in std::mem::take(&mut self.missing) {
            let mut at = missing.start;
            let first = places.partition_point(|place| place.offsets.end <= missing.start);
            for place in places.iter().skip(first).take_while(|place| place.offsets.start < missing.end) {
                let Some(cut) = place.cut(&missing) else { continue };
                if at < cut.offsets.start {
                    still.push(at..cut.offsets.start);
                }
                at = cut.offsets.end;
                self.found.push(cut);
            }
            if at < missing.end {
                still.push(at..missing.end);
            }
        }
        self.missing = still;
    }

    /// Looks into a whole map.
    pub fn look_into_map(&mut self, map: &PlaceMap, key: &StreamKey) {
        if let Some(places) = map.get(key) {
            self.look_into(places);
        }
    }

    /// The places found, ascending.
    pub fn finish(mut self) -> Vec<Place> {
        self.found.sort_by_key(|place| place.offsets.start);
        self.found
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::slice::{BatchLayout, Codec, SliceOp};
    use crate::id::{Bucket, Stream, TableId, Ulid};

    pub(crate) fn some_place(offsets: Range<Offset>, slot: u64) -> Place {
        let rows = u32::try_from(offsets.end - offsets.start).unwrap();
        let batch =
            BatchLayout { rows, metadata_len: 8, body_len: 0, metadata_checksum: 0, chunks: Vec::new() };
        let slice = Slice {
            table: TableId(1),
            bucket: Bucket(0),
            stream: Stream::Rows,
            schema: 0,
            columns: Vec::new(),
            op: SliceOp::Append,
            codec: Codec::None,
            home: SliceHome::Here,
            body_offset: 0,
            bytes: 8,
            rows,
            times: None,
            source: None,
            batches: vec![batch],
            statistics: Vec::new(),
            checksum: slot,
        };
        let object = ObjectId::Commit { slot, put_id: Ulid::from(u128::from(slot)) };
        Place { offsets, first_row: 0, time: 0, object, body_start: 64, slice: Arc::new(slice) }
    }

    /// Which slot (and row of its slice) each offset lies in, naively.
    fn by_offset(places: &[Place]) -> Vec<(Offset, u64, u64)> {
        let rows = places.iter().flat_map(|place| {
            place.offsets.clone().map(|offset| {
                let row = u64::from(place.first_row) + offset - place.offsets.start;
                (offset, place.slice.checksum, row)
            })
        });
        rows.collect()
    }

    proptest! {
        #[test]
        fn the_newest_place_of_each_offset_wins(ranges in prop::collection::vec((0u64..40, 1u64..12), 1..20)) {
            let mut places = Vec::new();
            let mut model = std::collections::BTreeMap::new();
            for (slot, (start, len)) in ranges.into_iter().enumerate() {
                let slot = slot as u64 + 1;
                lay_over(&mut places, some_place(start..start + len, slot));
                (start..start + len).for_each(|offset| { model.insert(offset, (slot, offset - start)); });
            }
            prop_assert!(places.is_sorted_by(|a, b| a.offsets.end <= b.offsets.start));
            let expected: Vec<_> = model.into_iter().map(|(offset, (slot, row))| (offset, slot, row)).collect();
            prop_assert_eq!(by_offset(&places), expected);
        }

        #[test]
        fn layers_cover_each_offset_once(
            old in prop::collection::vec((0u64..60, 1u64..12), 0..8),
            new in prop::collection::vec((0u64..60, 1u64..12), 0..8),
            from in 0u64..60, len in 0u64..30,
        ) {
            let lay = |ranges: &[(u64, u64)], slot: u64| {
                let mut places = Vec::new();
                for (index, (start, len)) in ranges.iter().enumerate() {
                    lay_over(&mut places, some_place(*start..start + len, slot + index as u64));
                }
                places
            };
            let (old, new) = (lay(&old, 1), lay(&new, 100));
            let mut search = Search::new(from..from + len);
            search.look_into(&new);
            search.look_into(&old);
            let missing: Vec<_> = search.missing().iter().cloned().flatten().collect();
            let found = search.finish();
            let mut seen: Vec<_> = by_offset(&found).into_iter().map(|(offset, ..)| offset).chain(missing).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (from..from + len).collect::<Vec<_>>());
            for (offset, slot, _) in by_offset(&found) {
                prop_assert_eq!(slot >= 100, by_offset(&new).iter().any(|(at, ..)| *at == offset));
            }
        }
    }
}
