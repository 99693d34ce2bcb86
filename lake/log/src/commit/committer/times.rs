//! How long PUTs took, by size. PURE.

use std::collections::VecDeque;
use std::time::Duration;

/// How many of the last are kept: enough for a 99th percentile, few enough to follow a store whose ways change.
const KEPT: usize = 256;

/// The last PUT times: what quantiles are read from.
#[derive(Clone, Debug, Default)]
pub(super) struct PutTimes {
    last: VecDeque<Duration>,
    sorted: Vec<Duration>,
}

impl PutTimes {
    pub(super) fn add(&mut self, time: Duration) {
        self.last.push_back(time);
        if self.last.len() > KEPT
            && let Some(oldest) = self.last.pop_front()
            && let Ok(index) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(index);
        }
        let index = self.sorted.partition_point(|known| *known < time);
        self.sorted.insert(index, time);
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn quantile(&self, percent: usize) -> Option<Duration> {
        self.sorted.get(self.sorted.len().saturating_sub(1) * percent / 100).copied()
    }
}

/// Objects below these lengths take about equally long.
const CLASS_ENDS: [u64; 4] = [64 << 10, 512 << 10, 4 << 20, 16 << 20];

/// A class of objects of about the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeClass(usize);

impl SizeClass {
    pub(super) fn of(bytes: u64) -> Self {
        Self(CLASS_ENDS.partition_point(|end| *end <= bytes))
    }
}

/// PUT times of each size class.
#[derive(Debug, Default)]
pub(super) struct TimesBySize([PutTimes; CLASS_ENDS.len() + 1]);

impl TimesBySize {
    pub(super) fn add(&mut self, class: SizeClass, time: Duration) {
        if let Some(times) = self.0.get_mut(class.0) {
            times.add(time);
        }
    }

    /// A quantile, once so many times are known.
    pub(super) fn quantile(&self, class: SizeClass, percent: usize, samples_min: usize) -> Option<Duration> {
        self.0.get(class.0).filter(|times| times.len() >= samples_min)?.quantile(percent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_last_kept(all in prop::collection::vec(0u64..50, 1..600), percent in 0usize..=100) {
            let mut times = PutTimes::default();
            all.iter().for_each(|ms| times.add(Duration::from_millis(*ms)));
            let mut last: Vec<u64> = all.iter().rev().take(KEPT).copied().collect();
            last.sort_unstable();
            let expected = Duration::from_millis(last[(last.len() - 1) * percent / 100]);
            prop_assert_eq!(times.quantile(percent), Some(expected));
            prop_assert_eq!(times.len(), last.len());
        }
    }

    #[test]
    fn classes_are_told_apart_and_say_nothing_before_they_know_enough() {
        let mut times = TimesBySize::default();
        let (small, large) = (SizeClass::of(1_000), SizeClass::of(20 << 20));
        assert_ne!(small, large);
        assert_eq!(SizeClass::of((64 << 10) - 1), small);
        assert_ne!(SizeClass::of(64 << 10), small);
        (1..=100).for_each(|ms| times.add(small, Duration::from_millis(ms)));
        assert_eq!(times.quantile(small, 95, 100), Some(Duration::from_millis(95)));
        assert_eq!(times.quantile(small, 95, 101), None);
        assert_eq!(times.quantile(large, 95, 1), None);
    }
}
