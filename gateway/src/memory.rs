//! Shares of the process's memory: what wants bytes waits for them, first come first served, or is told to come later.
//!
//! Invariants: what is held of a share never exceeds it; one request takes all that it needs at once, so that two that wait can
//! never wait for each other; what is held is given back when its [`Held`] is dropped.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::metrics::MEMORY;

/// Memory is counted in units of so many bytes.
const UNIT_BYTES: usize = 1 << 10;

/// A share of the memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Share {
    units: Arc<Semaphore>,
    units_max: u32,
}

/// Bytes of a share, until dropped.
#[derive(Debug)]
pub struct Held {
    units: OwnedSemaphorePermit,
}

impl Share {
    /// A share of so many bytes; at least one unit.
    pub fn new(bytes_max: usize) -> Self {
        let units_max = units(bytes_max).clamp(1, u32::MAX >> 4);
        Self { units: Arc::new(Semaphore::new(units_max as usize)), units_max }
    }

    /// The share itself, in KiB, for what takes it bit by bit.
    pub(crate) fn units(&self) -> Arc<Semaphore> {
        Arc::clone(&self.units)
    }

    /// The whole share.
    pub fn bytes_max(&self) -> usize {
        self.units_max as usize * UNIT_BYTES
    }

    /// What is held of it now.
    pub fn used(&self) -> usize {
        self.bytes_max() - self.units.available_permits() * UNIT_BYTES
    }

    /// Takes so many bytes, or the whole share if it is less; `None` if they are not free by then.
    pub async fn take(&self, bytes: usize, by: Instant) -> Option<Held> {
        let wanted = units(bytes).clamp(1, self.units_max);
        let taken = timeout_at(by, Arc::clone(&self.units).acquire_many_owned(wanted)).await;
        taken.ok()?.ok().map(|units| Held { units })
    }

    /// Takes so many bytes if they are free now; more than the whole share is never free.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let taken = Arc::clone(&self.units).try_acquire_many_owned(units(bytes).max(1));
        taken.ok().map(|units| Held { units })
    }
}

impl Held {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.units.num_permits() * UNIT_BYTES
    }

    /// Holds what another holds too.
    pub fn merge(&mut self, other: Self) {
        self.units.merge(other.units);
    }

    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let surplus = self.units.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.units.split(surplus));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Where the memory goes: every share, with what it may hold and what it holds now. Cheap to clone.
#[derive(Clone, Default)]
pub struct Ledger {
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    name: &'static str,
    bytes_max: usize,
    used: Arc<dyn Fn() -> usize + Send + Sync>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareLabel {
    share: &'static str,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.lines.iter().map(|line| (line.name, line.bytes_max))).finish()
    }
}

impl Ledger {
    /// Adds a share.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        bytes_max: usize,
        used: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        self.lines.push(Line { name, bytes_max, used: Arc::new(used) });
        self
    }

    /// Registers `frazil_memory_bytes{share}` and `frazil_memory_bytes_max{share}`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// For a status.
    pub fn to_json(&self) -> Value {
        let line =
            |line: &Line| json!({"share": line.name, "bytes": (line.used)(), "bytes_max": line.bytes_max});
        Value::Array(self.lines.iter().map(line).collect())
    }
}

impl Collector for Ledger {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let family = |bytes: &dyn Fn(&Line) -> usize| {
            let family: Family<ShareLabel, Gauge> = Family::default();
            for line in &self.lines {
                let bytes = i64::try_from(bytes(line)).unwrap_or(i64::MAX);
                family.get_or_create(&ShareLabel { share: line.name }).set(bytes);
            }
            family
        };
        let families = [family(&|line| (line.used)()), family(&|line| line.bytes_max)];
        for ((name, help), family) in MEMORY.into_iter().zip(families) {
            const { assert!(matches!(<Family<ShareLabel, Gauge> as TypedMetric>::TYPE, MetricType::Gauge)) };
            family.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_held_until_it_is_given_back_and_never_exceeded() {
        let share = Share::new(64 << 10);
        let first = share.take(48 << 10, soon()).await.unwrap();
        assert_eq!((share.used(), share.bytes_max()), (48 << 10, 64 << 10));
        assert!(share.take(32 << 10, soon()).await.is_none());
        drop(first);
        let mut all =
            share.take(usize::MAX, soon()).await.expect("what is larger than the share gets all of it");
        assert_eq!(share.used(), share.bytes_max());
        all.shrink(1_500);
        assert_eq!((all.bytes(), share.used()), (2 << 10, 2 << 10));
    }

    #[test]
    fn the_ledger_is_in_the_metrics_and_in_the_status() {
        let share = Share::new(1 << 20);
        let used = share.clone();
        let ledger = Ledger::default().with("buffer", share.bytes_max(), move || used.used());
        let mut registry = Registry::default();
        ledger.register(&mut registry);
        let text = crate::metrics::text(&registry);
        assert!(text.contains("frazil_memory_bytes_max{share=\"buffer\"} 1048576"), "{text}");
        assert!(text.contains("frazil_memory_bytes{share=\"buffer\"} 0"), "{text}");
        assert_eq!(ledger.to_json()[0]["bytes_max"], 1 << 20);
    }
}
