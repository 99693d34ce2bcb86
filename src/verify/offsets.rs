//! Which offsets of a sequence are accounted for. PURE.

use std::ops::Range;

use frazil_log::id::Offset;

/// A set of offsets, as ranges that do not touch, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets(Vec<Range<Offset>>);

impl Offsets {
    /// Whether all of a range is in it.
    pub(super) fn covers(&self, range: &Range<Offset>) -> bool {
        let at = self.0.partition_point(|known| known.end < range.end);
        range.is_empty() || self.0.get(at).is_some_and(|known| known.start <= range.start)
    }

    /// Adds a range.
    pub(super) fn insert(&mut self, range: Range<Offset>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let end = self.0.partition_point(|known| known.start <= range.end).max(first);
        let touched = self.0.get(first..end).unwrap_or_default();
        let start = touched.first().map_or(range.start, |known| known.start.min(range.start));
        let stop = touched.last().map_or(range.end, |known| known.end.max(range.end));
        self.0.splice(first..end, std::iter::once(start..stop));
    }

    /// The first offset.
    pub(super) fn first(&self) -> Option<Offset> {
        self.0.first().map(|range| range.start)
    }

    /// What is missing between the first offset and `end`.
    pub(super) fn gaps_up_to(&self, end: Offset) -> Vec<Range<Offset>> {
        let starts = self.0.iter().map(|range| range.end);
        let ends = self.0.iter().skip(1).map(|range| range.start).chain([end]);
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
    }

    /// What lies at or above `end`.
    pub(super) fn beyond(&self, end: Offset) -> Option<Range<Offset>> {
        self.0.last().filter(|range| range.end > end).map(|range| range.start.max(end)..range.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn ranges_behave_like_a_set_of_numbers() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..2_000 {
            let (mut offsets, mut model) = (Offsets::default(), BTreeSet::new());
            for _ in 0..random.random_range(1..12) {
                let start = random.random_range(0..50u64);
                let range = start..start + random.random_range(0..9);
                offsets.insert(range.clone());
                model.extend(range);
            }
            let from = random.random_range(0..50u64);
            let asked = from..from + random.random_range(0..9);
            assert_eq!(
                offsets.covers(&asked),
                asked.clone().all(|offset| model.contains(&offset)),
                "{offsets:?} {asked:?}"
            );
            assert_eq!(offsets.first(), model.first().copied());
            if let Some(first) = model.first() {
                let missing: Vec<u64> = (*first..60).filter(|offset| !model.contains(offset)).collect();
                assert_eq!(
                    offsets.gaps_up_to(60).into_iter().flatten().collect::<Vec<_>>(),
                    missing,
                    "{offsets:?}"
                );
            }
            assert!(offsets.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{offsets:?}");
            let last = model.last().copied();
            assert_eq!(offsets.beyond(20).map(|range| range.end - 1), last.filter(|last| *last >= 20));
        }
    }
}
