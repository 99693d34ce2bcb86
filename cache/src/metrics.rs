//! What a cache counts, by tier. `docs/metrics.md` explains each.

use std::borrow::Cow;

use mixtrics::metrics::{
    BoxedCounter, BoxedCounterVec, BoxedGaugeVec, BoxedHistogramVec, CounterOps, CounterVecOps, RegistryOps,
};
use mixtrics::registry::noop::NoopMetricsRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Where a page was found, or what it was kept for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TierLabels {
    tier: &'static str,
}

/// Which part of the memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareLabels {
    share: &'static str,
}

/// A cache's numbers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reads: Family<TierLabels, Counter>,
    bytes: Family<TierLabels, Counter>,
    held: Family<ShareLabels, Gauge>,
    evictions: Family<ShareLabels, Counter>,
    dropped: Counter,
    failures: Counter,
}

impl Metrics {
    /// Registers everything under its name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "frazil_cache_pages",
            "Pages looked for, by where they were found",
            self.reads.clone(),
        );
        registry.register("frazil_cache_read_bytes", "Bytes read, by where from", self.bytes.clone());
        registry.register("frazil_cache_held_bytes", "Bytes of pages in memory", self.held.clone());
        registry.register(
            "frazil_cache_evictions",
            "Pages that left memory for others",
            self.evictions.clone(),
        );
        registry.register("frazil_cache_ssd_dropped", "Pages not written to the SSD", self.dropped.clone());
        registry.register(
            "frazil_cache_ssd_failures",
            "Pages the SSD could not give back",
            self.failures.clone(),
        );
    }

    pub(crate) fn found(&self, tier: &'static str) {
        self.reads.get_or_create(&TierLabels { tier }).inc();
    }

    pub(crate) fn read(&self, tier: &'static str, bytes: u64) {
        self.bytes.get_or_create(&TierLabels { tier }).inc_by(bytes);
    }

    pub(crate) fn evicted(&self, share: &'static str) {
        self.evictions.get_or_create(&ShareLabels { share }).inc();
    }

    pub(crate) fn holds(&self, share: &'static str, bytes: usize) {
        self.held.get_or_create(&ShareLabels { share }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn ssd_failed(&self) {
        self.failures.inc();
    }

    /// Pages found in a tier (`memory`, `ssd`), or not (`none`).
    pub fn pages(&self, tier: &'static str) -> u64 {
        self.reads.get_or_create(&TierLabels { tier }).get()
    }

    /// Bytes read from a tier (`memory`, `ssd`), or fetched from the store (`none`).
    pub fn bytes(&self, tier: &'static str) -> u64 {
        self.bytes.get_or_create(&TierLabels { tier }).get()
    }

    /// Pages that left a share of the memory (`hot`, `scan`) for others.
    pub fn evictions(&self, share: &'static str) -> u64 {
        self.evictions.get_or_create(&ShareLabels { share }).get()
    }

    /// Pages that were not written to the SSD, because it could not keep up.
    pub fn ssd_dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Pages that the SSD could not give back: unreadable, or not what was written.
    pub fn ssd_failures(&self) -> u64 {
        self.failures.get()
    }

    /// What foyer counts, of which we keep the one number that it tells in no other way: it drops writes silently.
    pub(crate) fn of_foyer(&self) -> Box<dyn RegistryOps> {
        Box::new(Overflows(self.clone()))
    }
}

#[derive(Debug)]
struct Overflows(Metrics);

impl CounterOps for Overflows {
    fn increase(&self, count: u64) {
        self.0.dropped.inc_by(count);
    }
}

impl CounterVecOps for Overflows {
    fn counter(&self, labels: &[Cow<'static, str>]) -> BoxedCounter {
        match labels.last().map(AsRef::as_ref) {
            Some("buffer_overflow" | "channel_overflow") => Box::new(Self(self.0.clone())),
            _ => Box::new(NoopMetricsRegistry),
        }
    }
}

impl RegistryOps for Overflows {
    fn register_counter_vec(
        &self,
        _: Cow<'static, str>,
        _: Cow<'static, str>,
        _: &'static [&'static str],
    ) -> BoxedCounterVec {
        Box::new(Self(self.0.clone()))
    }

    fn register_gauge_vec(
        &self,
        name: Cow<'static, str>,
        help: Cow<'static, str>,
        labels: &'static [&'static str],
    ) -> BoxedGaugeVec {
        NoopMetricsRegistry.register_gauge_vec(name, help, labels)
    }

    fn register_histogram_vec(
        &self,
        name: Cow<'static, str>,
        help: Cow<'static, str>,
        labels: &'static [&'static str],
    ) -> BoxedHistogramVec {
        NoopMetricsRegistry.register_histogram_vec(name, help, labels)
    }

    fn register_histogram_vec_with_buckets(
        &self,
        name: Cow<'static, str>,
        help: Cow<'static, str>,
        labels: &'static [&'static str],
        buckets: Vec<f64>,
    ) -> BoxedHistogramVec {
        NoopMetricsRegistry.register_histogram_vec_with_buckets(name, help, labels, buckets)
    }
}
