//! Which rows need not be kept any more: the oldest whole slices, by age or by how many bytes there are.
//!
//! Invariant: only a beginning of each bucket goes, and only whole places; so what is kept is at least what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::rollup::place_bytes;
use crate::format::page::{Place, StreamKey};
use crate::id::{Offset, TimeMicros};

/// The offset up to which places are older than `cutoff`; nothing if the first is not. Places ascend, without a gap.
pub fn older_than(places: &[Place], cutoff: TimeMicros) -> Option<Offset> {
    places.iter().take_while(|place| place.time < cutoff).last().map(|place| place.offsets.end)
}

/// The offsets up to which the oldest places of a table can go, so that at least `bytes_min` stay; only buckets of which
/// something goes. Each bucket's places ascend, without a gap.
pub fn beyond_bytes(
    buckets: &BTreeMap<StreamKey, Vec<Place>>,
    bytes_min: u64,
) -> BTreeMap<StreamKey, Offset> {
    let mut left = stored_bytes(buckets.values().flatten());
    let mut ends = BTreeMap::new();
    let first = |(key, places): (&StreamKey, &Vec<Place>)| Some((places.first()?.time, *key, 0));
    let mut oldest: BTreeSet<(TimeMicros, StreamKey, usize)> = buckets.iter().filter_map(first).collect();
    while let Some((_, key, at)) = oldest.pop_first() {
        let Some(place) = buckets.get(&key).and_then(|places| places.get(at)) else { continue };
        let without = left.saturating_sub(place_bytes(place));
        if without < bytes_min {
            break;
        }
        left = without;
        ends.insert(key, place.offsets.end);
        if let Some(next) = buckets.get(&key).and_then(|places| places.get(at + 1)) {
            oldest.insert((next.time, key, at + 1));
        }
    }
    ends
}

/// About how many bytes places hold.
pub fn stored_bytes<'p>(places: impl Iterator<Item = &'p Place>) -> u64 {
    places.fold(0, |sum, place| sum.saturating_add(place_bytes(place)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{Bucket, Stream, TableId};
    use crate::plan::places::tests::some_place;

    /// Places of ten rows and eight bytes each, at these times.
    fn places(times: &[i64]) -> Vec<Place> {
        let place = |(at, time): (u64, &i64)| Place { time: *time, ..some_place(at * 10..at * 10 + 10, at) };
        (0..).zip(times).map(place).collect()
    }

    fn key(bucket: u32) -> StreamKey {
        StreamKey { table: TableId(1), bucket: Bucket(bucket), stream: Stream::Rows }
    }

    #[test]
    fn a_beginning_of_whole_places_is_old() {
        let places = places(&[1, 2, 9, 3]);
        assert_eq!(older_than(&places, 1), None);
        assert_eq!(older_than(&places, 2), Some(10));
        assert_eq!(older_than(&places, 5), Some(20));
        assert_eq!(older_than(&places, 10), Some(40));
        assert_eq!(older_than(&[], 10), None);
    }

    #[test]
    fn the_oldest_of_all_buckets_go_first_and_enough_bytes_stay() {
        let buckets = BTreeMap::from([(key(0), places(&[1, 4, 5])), (key(1), places(&[2, 3, 6]))]);
        assert_eq!(stored_bytes(buckets.values().flatten()), 48);
        assert_eq!(beyond_bytes(&buckets, 48), BTreeMap::new());
        assert_eq!(beyond_bytes(&buckets, 41), BTreeMap::new());
        assert_eq!(beyond_bytes(&buckets, 40), BTreeMap::from([(key(0), 10)]));
        assert_eq!(beyond_bytes(&buckets, 24), BTreeMap::from([(key(0), 10), (key(1), 20)]));
        assert_eq!(beyond_bytes(&buckets, 0), BTreeMap::from([(key(0), 30), (key(1), 30)]));
    }

    proptest! {
        #[test]
        fn at_least_what_was_asked_for_stays(
            times in prop::collection::vec(prop::collection::vec(0i64..20, 0..6), 1..4), bytes_min in 0u64..150,
        ) {
            let buckets: BTreeMap<StreamKey, Vec<Place>> =
                (0..).zip(&times).map(|(bucket, times)| (key(bucket), places(times))).collect();
            let all = stored_bytes(buckets.values().flatten());
            let ends = beyond_bytes(&buckets, bytes_min);
            let kept = |(key, places): (&StreamKey, &Vec<Place>)| {
                let end = ends.get(key).copied().unwrap_or(0);
                places.iter().filter(|place| place.offsets.start >= end).count() as u64 * 8
            };
            let kept: u64 = buckets.iter().map(kept).sum();
            prop_assert!(kept >= bytes_min.min(all));
            // Another place of eight bytes would be too much.
            prop_assert!(kept < bytes_min + 8 || kept == 0);
        }
    }
}
