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

    /// What of a range is missing.
    pub(super) fn gaps(&self, wanted: Range<Offset>) -> Vec<Range<Offset>> {
        let starts = [wanted.start].into_iter().chain(self.0.iter().map(|range| range.end.max(wanted.start)));
        let ends = self.0.iter().map(|range| range.start.min(wanted.end)).chain([wanted.end]);
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
            for wanted in [asked.clone(), 0..60, 60..60] {
                let missing: Vec<u64> = wanted.clone().filter(|offset| !model.contains(offset)).collect();
                let gaps: Vec<u64> = offsets.gaps(wanted).into_iter().flatten().collect();
                assert_eq!(gaps, missing, "{offsets:?}");
            }
            assert!(offsets.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{offsets:?}");
            let last = model.last().copied();
            assert_eq!(offsets.beyond(20).map(|range| range.end - 1), last.filter(|last| *last >= 20));
        }
    }
}
