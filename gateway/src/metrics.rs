//! What a gateway counts. The fields are the list; `docs/metrics.md` explains each.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::peers::message::Taken;

/// What a registry holds, in the OpenMetrics text format.
pub(crate) fn text(registry: &Registry) -> String {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => text,
        Err(_) => String::new(), // writing to a string does not fail
    }
}

/// What is told of each share of the memory, labelled `share`: see [`crate::memory::Ledger`].
pub(crate) const MEMORY: [(&str, &str); 2] = [
    ("frazil_memory_bytes", "Bytes of each share of the memory that are held"),
    ("frazil_memory_bytes_max", "Bytes of each share of the memory"),
];

/// A stage of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckStage {
    /// Body to Arrow
    Decode,
    /// Waiting for a flush: for its pace, a token, a free flight
    Buffer,
    /// The slot's PUT, from when it left to its answer
    Store,
    /// From that answer until the slot is folded: slots before it come first
    Order,
    /// With the leader: from the offer until it is folded here, or written here after all
    Peer,
    /// All of it, from the decoded request to its answer
    Total,
}

impl AckStage {
    fn label(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Buffer => "buffer",
            Self::Store => "store",
            Self::Order => "order",
            Self::Peer => "peer",
            Self::Total => "total",
        }
    }
}

/// What became of a flush that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// The leader took it, and it is folded here.
    Folded,
    /// The leader took it, and it was not folded in time: it is written here.
    NotFolded,
    /// The leader did not take it: it is written here.
    Refused,
    /// The leader did not answer in time: it is written here.
    Unreachable,
}

impl HandOver {
    fn label(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::NotFolded => "not-folded",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// The gateway's numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    ack_stage_seconds: Family<StageLabels, Histogram>,
    handed_over_total: Family<OutcomeLabels, Counter>,
    handed_in_total: Family<OutcomeLabels, Counter>,
    /// Rows acknowledged, duplicates not counted.
    pub rows_produced_total: Counter,
    /// Rows handed out.
    pub rows_consumed_total: Counter,
    /// Stored bytes that a filter ruled out by statistics.
    pub filter_skipped_bytes_total: Counter,
    /// Late PUTs that were sent a second time.
    pub hedges_sent_total: Counter,
    /// Second copies that were answered first.
    pub hedges_won_total: Counter,
}

fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            ack_stage_seconds: Family::new_with_constructor(latency),
            handed_over_total: Family::default(),
            handed_in_total: Family::default(),
            rows_produced_total: Counter::default(),
            rows_consumed_total: Counter::default(),
            filter_skipped_bytes_total: Counter::default(),
            hedges_sent_total: Counter::default(),
            hedges_won_total: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers everything under its name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "frazil_ack_stage_seconds",
            "How long each stage of an acknowledgement took",
            self.ack_stage_seconds.clone(),
        );
        registry.register("frazil_rows_produced", "Rows acknowledged", self.rows_produced_total.clone());
        registry.register("frazil_rows_consumed", "Rows handed out", self.rows_consumed_total.clone());
        registry.register(
            "frazil_filter_skipped_bytes",
            "Stored bytes that a filter ruled out by statistics",
            self.filter_skipped_bytes_total.clone(),
        );
        registry.register(
            "frazil_handed_over",
            "Flushes that were offered to the leader",
            self.handed_over_total.clone(),
        );
        registry.register(
            "frazil_handed_in",
            "Flushes that other gateways offered to this one",
            self.handed_in_total.clone(),
        );
        registry.register(
            "frazil_hedges_sent",
            "Late PUTs that were sent a second time",
            self.hedges_sent_total.clone(),
        );
        registry.register(
            "frazil_hedges_won",
            "Second copies of PUTs that were answered first",
            self.hedges_won_total.clone(),
        );
    }

    /// Notes one stage of one acknowledgement.
    pub fn ack_stage(&self, stage: AckStage, took: Duration) {
        self.ack_stage_seconds
            .get_or_create(&StageLabels { stage: stage.label() })
            .observe(took.as_secs_f64());
    }

    /// Notes what became of a flush that was offered to the leader.
    pub fn handed_over(&self, outcome: HandOver) {
        self.handed_over_total.get_or_create(&OutcomeLabels { outcome: outcome.label() }).inc();
    }

    /// Notes what became of a flush that another gateway offered.
    pub fn handed_in(&self, taken: Taken) {
        self.handed_in_total.get_or_create(&OutcomeLabels { outcome: taken.label() }).inc();
    }
}
