//! How long PUTs took. PURE.

use std::collections::VecDeque;
use std::time::Duration;

/// The last PUT times: what quantiles are read from.
#[derive(Debug, Default)]
pub(super) struct PutTimes(VecDeque<Duration>);

const PUT_TIMES_KEPT: usize = 256;

impl PutTimes {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push_back(time);
        if self.0.len() > PUT_TIMES_KEPT {
            self.0.pop_front();
        }
    }

    pub(super) fn quantile(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied()
    }
}
