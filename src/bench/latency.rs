//! Latencies and their quantiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest that is told apart.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// Latencies of one kind of request, in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies {
    micros: Histogram<u64>,
    failed: u64,
}

/// What they come to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Requests that were answered.
    pub(crate) count: u64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// Half were faster.
    pub(crate) p50_ms: f64,
    /// One in a hundred was slower.
    pub(crate) p99_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let longest = u64::try_from(LATENCY_MAX.as_micros())?;
        Ok(Self { micros: Histogram::new_with_bounds(1, longest, 3)?, failed: 0 })
    }

    /// Adds one request: how long it took, or that it failed.
    pub(crate) fn add(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => self.micros.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            None => self.failed += 1,
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1_000.0;
        Summary {
            count: self.micros.len(),
            failed: self.failed,
            p50_ms: ms(self.micros.value_at_quantile(0.5)),
            p99_ms: ms(self.micros.value_at_quantile(0.99)),
            max_ms: ms(self.micros.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_answered() {
        let mut latencies = Latencies::new().unwrap();
        (1..=100).for_each(|ms| latencies.add(Some(Duration::from_millis(ms))));
        latencies.add(None);
        let summary = latencies.summary();
        assert_eq!((summary.count, summary.failed), (100, 1));
        assert!((summary.p50_ms - 50.0).abs() < 0.1 && (summary.p99_ms - 99.0).abs() < 0.1, "{summary:?}");
        assert!((summary.max_ms - 100.0).abs() < 0.2, "{summary:?}");
    }
}
